(async () => {
  const NOTHING = 255;
  const VIEWS = { comments: "Comments", videos: "Videos", models: "Models", failures: "Failures" };
  const OUTCOMES = { right: "first model right", wrong: "first model wrong", gained: "right, second wrong", lost: "wrong, second right" };
  const FIELDS = ["hashtag", "opinion", "emotion", "split", "part", "failure", "words", "video", "run", "against", "answered", "task", "predicted", "outcome", "page"];
  const $ = (id) => document.getElementById(id);
  const number = (value) => value.toLocaleString("en");
  const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)}%`;
  const plain = (word) => word.replaceAll("_", " ");

  // Texts go in as text nodes alone, so that none can become markup.
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
      else if (name === "vars") for (const [key, own] of Object.entries(value)) element.style.setProperty(key, own);
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return element;
  };
  const quiet = (text) => make("span", { class: "sr" }, text);

  const fail = (error) => {
    $("results").removeAttribute("aria-busy");
    $("status").textContent = "";
    $("view").replaceChildren(make("p", { class: "warning", role: "alert" }, error.message || String(error)));
  };

  let source;
  try {
    source = await openSource();
  } catch (error) {
    $("lead").textContent = "";
    fail(error);
    return;
  }
  const about = source.about;
  const tasks = Object.keys(about.tasks);
  const runs = new Map(about.runs.map((run) => [run.name, run]));

  // ------------------------------------------------------------ state: all of it stands in the address

  const read = () => {
    const [view, query] = location.hash.slice(1).split("?");
    const given = new URLSearchParams(query || "");
    const state = { view: view in VIEWS || view === "video" ? view : "comments" };
    for (const name of FIELDS) state[name] = given.get(name) ?? "";
    state.page = Math.max(0, parseInt(state.page, 10) || 0);
    state.task = state.task in about.tasks ? state.task : tasks[0];
    return state;
  };
  const address = (state) => {
    const query = new URLSearchParams();
    for (const name of FIELDS)
      if (state[name] && !(name === "task" && state.task === tasks[0])) query.set(name, state[name]);
    return `#${state.view}${query.size ? `?${query}` : ""}`;
  };
  const go = (changes) => { location.hash = address({ ...read(), page: 0, ...changes }); };
  const link = (changes, attributes, ...children) =>
    make("a", { href: address({ ...read(), page: 0, ...changes }), ...attributes }, ...children);
  const asked = (state) => {
    const { view, video, ...fields } = state;
    return fields;
  };

  // ------------------------------------------------------------ the filter

  const options = (rows, any) => [make("option", { value: "" }, any), ...rows.map(([value, text]) => make("option", { value }, text))];
  const change = (event) => {
    const { name, value } = event.target;
    const changes = { [name]: value.trim() };
    if (name === "part" && value && !read().split) changes.split = about.splits[0].name;
    if (name === "split" && !value) changes.part = "";
    if (name === "run" && !value) Object.assign(changes, { answered: "", predicted: "", outcome: "", against: "" });
    if (name === "against" && !value && ["gained", "lost"].includes(read().outcome)) changes.outcome = "";
    if (name === "task") Object.assign(changes, { predicted: "" });
    if (read().view === "video") changes.view = ["run", "against", "split"].includes(name) ? "video" : "comments";
    go(changes);
  };
  const labelled = (text, control, whole) => {
    control.id = `filter-${control.name}`;
    return make("div", { class: whole ? "field whole" : "field" }, make("label", { for: control.id }, text), control);
  };
  const select = (name, text, rows, any = "any", whole = false) =>
    labelled(text, make("select", { name, on: { change } }, options(rows, any)), whole);
  const withCount = (names, counts) => names.map((name, place) => [name, `${name} (${number(counts[place])})`]);

  const buildFilter = () => {
    const hashtags = make("datalist", { id: "hashtags" }, about.hashtags.slice(0, 1000).map(([name, count]) => make("option", { value: name }, number(count))));
    const names = about.runs.map((run) => [run.name, `${run.name} (${run.split})`]);
    $("filter").append(
      labelled("Words in the comment", make("input", { name: "words", type: "search", autocomplete: "off", maxlength: 100, on: { change } }), true),
      labelled("Hashtag", make("input", { name: "hashtag", list: "hashtags", autocomplete: "off", maxlength: 100, on: { change } })), hashtags,
      ...tasks.map((task) => select(task, `Label: ${task}`, [...withCount(about.tasks[task], about.labels[task]), ["none", "no label"]])),
    );
    if (about.splits.length)
      $("filter").append(
        select("split", "Split", about.splits.map(({ name }) => [name, name]), "none"),
        select("part", "Part", about.parts.map((name) => [name, name])),
      );
    if (about.failures.length) {
      const reasons = new Map();
      for (const { reason, count } of about.failures) reasons.set(reason, (reasons.get(reason) ?? 0) + count);
      $("filter").append(select("failure", "Failed because", [...reasons].map(([reason, count]) => [reason, `${plain(reason)} (${number(count)})`])));
    }
    if (about.runs.length)
      $("filter").append(make("fieldset", {}, make("legend", {}, "Models"),
        select("run", "First model", names, "none"),
        select("against", "Second model", names, "none"),
        labelled("Task", make("select", { name: "task", on: { change } }, tasks.map((task) => make("option", { value: task }, task)))),
        select("answered", "Answered part", ["dev", "test"].map((name) => [name, name])),
        select("predicted", "First model says", []),
        select("outcome", "Outcome", Object.entries(OUTCOMES)),
      ));
    $("filter").append(make("button", { type: "button", class: "whole", on: { click: () => { location.hash = `#${read().view === "video" ? "comments" : read().view}`; } } }, "Clear the filter"));
    $("filter").addEventListener("submit", (event) => event.preventDefault());
  };

  const showFilter = (state) => {
    for (const control of $("filter").querySelectorAll("select, input")) {
      if (control.name === "predicted") control.replaceChildren(...options(about.tasks[state.task].map((name) => [name, name]), "any"));
      if (control.tagName === "SELECT" && state[control.name] && ![...control.options].some(({ value }) => value === state[control.name]))
        control.append(make("option", { value: state[control.name] }, state[control.name]));
      control.value = state[control.name];
      if (["answered", "predicted", "outcome", "against"].includes(control.name)) control.disabled = !state.run;
    }
  };

  // ------------------------------------------------------------ comments

  const className = (task, value) => (value === NOTHING ? null : about.tasks[task][value]);
  const answered = (answer, comment) => tasks.map((task, place) => {
    const name = className(task, answer[2 * place]), label = className(task, comment[task]);
    const verdict = label === null ? null : name === label ? "right" : "wrong";
    return make("dd", { class: verdict }, verdict ? make("span", { "aria-hidden": "true" }, verdict === "right" ? "✓ " : "✗ ") : null,
      name, " ", make("small", {}, percent(answer[2 * place + 1])), verdict ? quiet(` (${verdict})`) : null);
  });
  const answersOf = (comment, state) => {
    const list = make("dl", { class: "answers" }, make("dt", {}, "label"),
      tasks.map((task) => make("dd", { class: className(task, comment[task]) ? "label" : "none" }, quiet(`${task}: `), className(task, comment[task]) ?? "none")));
    for (const [run, answer] of [[state.run, comment.a], [state.against, comment.b]])
      if (run) list.append(make("dt", { title: run }, run), ...(answer ? answered(answer, comment) : [make("dd", { class: "none" }, "not asked"), make("dd")]));
    return list;
  };
  const commentItem = (comment, state, more) => make("li", {},
    make("div", {}, make("p", { class: "text", dir: "auto" }, comment.text),
      make("p", { class: "about" },
        state.view === "video" ? null : link({ view: "video", video: comment.video }, {}, `video ${comment.video}`),
        comment.part !== NOTHING ? make("span", {}, about.parts[comment.part]) : null,
        comment.likes !== null && comment.likes !== undefined ? make("span", {}, counted(comment.likes, "like")) : null,
        comment.day ? make("span", {}, comment.day) : null, more)),
    answersOf(comment, state));

  const pages = (total, state) => {
    const last = Math.max(0, Math.ceil(total / about.page_size) - 1);
    if (!last) return null;
    const turn = (page) => () => go({ page });
    return make("div", { class: "pages", role: "navigation", "aria-label": "Pages" },
      make("button", { type: "button", disabled: state.page <= 0, on: { click: turn(state.page - 1) } }, "Previous"),
      make("span", {}, `page ${number(state.page + 1)} of ${number(last + 1)}`),
      make("button", { type: "button", disabled: state.page >= last, on: { click: turn(state.page + 1) } }, "Next"));
  };
  const counted = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;

  const showComments = async (state) => {
    const answer = await source.comments(asked(state));
    return [counted(answer.total, "comment"), [
      make("h2", { tabindex: -1 }, "Comments"),
      answer.total ? make("ol", { class: "comments" }, answer.rows.map((comment) => commentItem(comment, state))) : make("p", {}, "No comment is like that."),
      pages(answer.total, state)]];
  };

  // ------------------------------------------------------------ videos

  const showVideos = async (state) => {
    const answer = await source.videos(asked(state));
    const head = ["video", "hashtags", "comments", "seconds", "year", "file", "failed because"];
    const row = (video) => make("tr", {},
      make("th", { scope: "row" }, link({ view: "video", video: video.id }, {}, video.id)),
      make("td", { class: "words" }, (video.hashtags ?? []).slice(0, 8).join(", ")),
      make("td", {}, number(video.comments)),
      make("td", {}, video.seconds === null ? "–" : video.seconds.toFixed(1)),
      make("td", {}, String(video.year ?? "–")),
      make("td", {}, video.media ?? "–"),
      make("td", { class: "words" }, (video.reasons ?? []).map(plain).join(", ")));
    return [counted(answer.total, "video"), [
      make("h2", { tabindex: -1 }, "Videos"),
      make("div", { class: "card scroll" }, make("table", { class: "wide" },
        make("thead", {}, make("tr", {}, head.map((name) => make("th", { scope: "col", class: ["hashtags", "failed because"].includes(name) ? "words" : null }, name)))),
        make("tbody", {}, answer.rows.map(row)))),
      pages(answer.total, state)]];
  };

  const spanOf = ([start, end], inSeconds) => inSeconds ? `${start.toFixed(1)} to ${end.toFixed(1)} s` : `${percent(start)} to ${percent(end)}`;
  const timeline = (windows, comment) => {
    const rows = comment === null ? windows.weights : [windows.weights[comment]];
    const weights = windows.spans.map((_, place) => rows.reduce((sum, row) => sum + row[place], 0) / rows.length / 10000);
    const most = Math.max(...weights, 1e-9);
    const order = [...weights.keys()].sort((a, b) => weights[b] - weights[a] || a - b);
    const words = order.slice(0, 3).map((place) => `${spanOf(windows.spans[place], windows.in_seconds)} (${percent(weights[place])})`).join(", ");
    const last = windows.spans.at(-1)[1];
    return make("div", {},
      make("div", { class: "timeline", role: "img", "aria-label": `Weights of ${windows.spans.length} windows; heaviest: ${words}` },
        weights.map((weight, place) => make("i", { title: `${spanOf(windows.spans[place], windows.in_seconds)}: ${percent(weight)}`, vars: { height: `${Math.max(1, 100 * weight / most)}%` } }))),
      make("div", { class: "axis", "aria-hidden": "true" }, make("span", {}, "start"), make("span", {}, `heaviest window ${percent(most)}`), make("span", {}, windows.in_seconds ? `${last.toFixed(1)} s` : "end")),
      make("details", {}, make("summary", {}, "Heaviest windows as a table"), make("table", {},
        make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "window"), make("th", { scope: "col" }, "weight"))),
        make("tbody", {}, order.slice(0, 10).map((place) => make("tr", {}, make("td", {}, spanOf(windows.spans[place], windows.in_seconds)), make("td", {}, percent(weights[place]))))))));
  };

  const showVideo = async (state) => {
    const answer = await source.video({ video: state.video, run: state.run, against: state.against, split: state.split });
    const { video, comments } = answer;
    const facts = {
      hashtags: (video.hashtags ?? []).join(", "), seconds: video.seconds?.toFixed(1), year: video.year, language: video.language,
      file: video.media, likes: video.likes === null ? null : number(video.likes), plays: video.plays === null ? null : number(video.plays), comments: number(video.comments),
    };
    const figures = make("div", {});
    const draw = [];
    const list = make("ol", { class: "comments" });
    let chosen = null;
    const choose = (place) => {
      chosen = chosen === place ? null : place;
      [...list.querySelectorAll("button")].forEach((button, at) => button.setAttribute("aria-pressed", String(at === chosen)));
      draw.forEach((act) => act());
    };
    list.append(...comments.map((comment, place) => commentItem(comment, state,
      state.run || state.against ? make("button", { type: "button", "aria-pressed": "false", hidden: true, on: { click: () => choose(place) } }, "Where it looks") : null)));
    for (const [run, kind] of [[state.run, "first"], [state.against, "second"]]) {
      if (!run) continue;
      const figure = make("figure", { class: kind }, make("figcaption", {}, `Where ${run} looks`), make("p", { class: "note" }, "Asking the network …"));
      figures.append(figure);
      source.windows({ run, video: state.video }).then((windows) => {
        if (windows.why) {
          figure.lastChild.textContent = windows.why;
          return;
        }
        [...list.querySelectorAll("button")].forEach((button, place) => { button.hidden = place >= windows.weights.length; });
        const show = () => {
          const whose = chosen === null ? `mean over ${counted(windows.weights.length, "comment")}` : `“${comments[chosen].text.slice(0, 60)}”`;
          figure.replaceChildren(make("figcaption", {}, `Where ${run} looks: ${whose}`), timeline(windows, chosen));
        };
        draw.push(show);
        show();
      }, (error) => { figure.lastChild.textContent = error.message; });
    }
    const sample = source.windowsSample?.[state.run || state.against];
    return [counted(video.comments, "comment"), [
      make("h2", { tabindex: -1 }, `Video ${video.id}`),
      make("div", { class: "card" },
        make("dl", { class: "facts" }, Object.entries(facts).filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, String(value))))),
        video.description ? make("p", { class: "text", dir: "auto" }, video.description) : null,
        answer.failures.map((failure) => make("p", { class: "warning" }, `${failure.stage}: ${plain(failure.reason)}. ${failure.detail ?? ""}`)),
        state.run || state.against ? figures : about.runs.length ? make("p", { class: "note" }, "Choose a model to see its answers, and where in the video it looked.") : null,
        sample ? make("details", {}, make("summary", {}, "Videos whose windows this page holds"), make("ul", {}, Object.keys(sample).map((id) => make("li", {}, link({ video: id }, {}, id))))) : null),
      comments.length ? list : make("p", {}, "It has no comments."),
      comments.length < video.comments ? make("p", { class: "note" }, `The first ${number(comments.length)} are shown.`) : null]];
  };

  // ------------------------------------------------------------ models

  const matrix = async (run, task, state, isFirst) => {
    const other = isFirst ? state.against : state.run;
    const fields = { ...asked(state), page: 0, run, against: "", task, predicted: "", outcome: "", answered: state.answered || "test" };
    const { cells } = await source.confusion(fields);
    const names = about.tasks[task];
    const total = cells.flat().reduce((sum, cell) => sum + cell, 0);
    const right = cells.reduce((sum, row, place) => sum + row[place], 0);
    const cell = (label, predicted) => {
      const count = cells[label][predicted], whole = cells[label].reduce((sum, one) => sum + one, 0), share = whole ? count / whole : 0;
      const kind = [share > 0.5 ? "strong" : "", label === predicted ? "diagonal" : "", count ? "" : "nil"].join(" ").trim();
      const words = `${run}: label ${names[label]}, predicted ${names[predicted]}: ${counted(count, "comment")}`;
      const target = { view: "comments", run, against: other, task, answered: fields.answered, predicted: names[predicted], outcome: "", [task]: names[label] };
      return make("td", {}, link(target, { class: kind || null, "aria-label": words, title: words, vars: { "--heat": `${(50 * share).toFixed(1)}%` } }, number(count)));
    };
    return make("div", {}, make("div", { class: "scroll" }, make("table", { class: "matrix" },
      make("caption", {}, `${task}: ${number(total)} comments, ${total ? percent(right / total) : "–"} right`),
      make("thead", {}, make("tr", {}, make("td"), names.map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, names.map((name, label) => make("tr", {}, make("th", { scope: "row" }, name), names.map((_, predicted) => cell(label, predicted))))))));
  };

  const showModels = async (state) => {
    if (!about.runs.length) return ["", [make("h2", { tabindex: -1 }, "Models"), make("p", {}, "The root has no finished run with answers.")]];
    const chosen = [[state.run, true], [state.against, false]].filter(([run]) => run);
    const cards = await Promise.all(chosen.map(async ([run, isFirst]) => make("section", { class: "card", "aria-label": `Answers of ${run}` },
      make("h3", {}, `${run} `, make("small", {}, `${runs.get(run)?.model}, split “${runs.get(run)?.split}”, ${state.answered || "test"} part`)),
      make("div", { class: "matrices" }, await Promise.all(tasks.map((task) => matrix(run, task, state, isFirst)))))));
    const score = (value) => (value === null || value === undefined ? "–" : (100 * value).toFixed(1));
    const pick = (run, field, text) => make("button", { type: "button", "aria-pressed": String(state[field] === run.name), "aria-label": `${run.name} as the ${text} model`,
      on: { click: () => go({ [field]: state[field] === run.name ? "" : run.name }) } }, text);
    return [counted(about.runs.length, "run"), [
      make("h2", { tabindex: -1 }, "Models"),
      chosen.length ? make("p", { class: "note" }, "Rows are labels, columns what the model says; a cell leads to its comments. The filter holds here too.") : make("p", { class: "note" }, "Choose one model, or two to see them side by side."),
      cards,
      make("div", { class: "card scroll" }, make("table", { class: "wide" },
        make("caption", {}, "Finished runs, with their micro-F1 on test in percent"),
        make("thead", {}, make("tr", {}, ["run", "model", "split", "seed", ...tasks, "show as"].map((name) => make("th", { scope: "col" }, name)))),
        make("tbody", {}, about.runs.map((run) => make("tr", {}, make("th", { scope: "row" }, run.name), make("td", {}, run.model), make("td", {}, run.split), make("td", {}, String(run.seed)),
          tasks.map((task) => make("td", {}, score(run.scores[task]))), make("td", {}, pick(run, "run", "first"), " ", pick(run, "against", "second")))))))]];
  };

  // ------------------------------------------------------------ failures

  const showFailures = async (state) => {
    const answer = await source.failures({ failure: state.failure, page: state.page });
    const summary = make("div", { class: "card scroll" }, make("table", {},
      make("caption", {}, "By stage and reason; a reason leads to its videos"),
      make("thead", {}, make("tr", {}, ["stage", "reason", "rows"].map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, about.failures.map((row) => make("tr", {}, make("td", {}, row.stage), make("td", {}, link({ view: "videos", failure: row.reason }, {}, plain(row.reason))), make("td", {}, number(row.count)))))));
    const row = (failure) => make("tr", {},
      make("th", { scope: "row" }, failure.is_video ? link({ view: "video", video: failure.key }, {}, failure.key) : failure.key),
      make("td", {}, failure.stage), make("td", {}, plain(failure.reason)), make("td", { class: "words" }, failure.detail ?? ""), make("td", {}, String(failure.attempts)));
    return [counted(answer.total, "failure"), [
      make("h2", { tabindex: -1 }, "Failures"),
      about.failures.length ? summary : make("p", {}, "Nothing failed."),
      answer.total ? make("div", { class: "card scroll" }, make("table", { class: "wide" },
        make("thead", {}, make("tr", {}, ["what", "stage", "reason", "detail", "attempts"].map((name) => make("th", { scope: "col", class: name === "detail" ? "words" : null }, name)))),
        make("tbody", {}, answer.rows.map(row)))) : null,
      pages(answer.total, state)]];
  };

  // ------------------------------------------------------------ turning to a view

  const SHOW = { comments: showComments, videos: showVideos, video: showVideo, models: showModels, failures: showFailures };
  let turn = 0;
  let before = "";
  const render = async () => {
    const own = ++turn;
    const state = read();
    $("views").replaceChildren(...Object.entries(VIEWS).map(([view, title]) =>
      link({ view, video: "" }, { "aria-current": view === state.view ? "page" : view === "videos" && state.view === "video" ? "true" : null }, title)));
    showFilter(state);
    $("results").setAttribute("aria-busy", "true");
    try {
      const [status, content] = await SHOW[state.view](state);
      if (own !== turn) return;
      $("view").replaceChildren(...content.flat().filter((one) => one !== null));
      $("status").textContent = status;
      const place = `${state.view} ${state.video} ${state.page}`;
      if (before && before !== place) {
        $("view").querySelector("h2")?.focus({ preventScroll: true });
        scrollTo(0, 0);
      }
      before = place;
    } catch (error) {
      if (own === turn) fail(error);
      return;
    }
    $("results").removeAttribute("aria-busy");
  };

  $("lead").textContent = [`${counted(about.comments, "comment")} on ${counted(about.videos, "video")}, scrubbed of personal data`, about.remark].filter(Boolean).join(". ");
  document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); $("results").focus(); });
  buildFilter();
  $("panel").open = matchMedia("(min-width: 821px)").matches;
  addEventListener("hashchange", render);
  await render();
})();
