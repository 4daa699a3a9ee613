"use strict";
// Answers come from the data in this page: columns, deflated, in base64.
const openSource = async () => {
  const NOTHING = 255;
  const element = document.getElementById("data");
  const binary = atob(element.textContent.trim());
  element.remove();
  const packed = Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(stream).arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  const decode = (start, size) => new TextDecoder().decode(new Uint8Array(buffer, start, size));
  const head = JSON.parse(decode(4, length));
  const KINDS = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f4: Float32Array };
  const column = (name) => {
    const section = head.sections[name];
    if (!section) return null;
    const start = head.begin + section.offset;
    if (section.kind === "text") return section.count ? decode(start, section.size).split("\0") : [];
    return new KINDS[section.kind](buffer, start, section.count);
  };
  const about = head.about;
  const tasks = about.tasks;
  const taskNames = Object.keys(tasks);
  const text = column("text");
  const labels = Object.fromEntries(taskNames.map((task) => [task, column(task)]));
  const parts = Object.fromEntries(about.splits.map(({ name }, number) => [name, column(`part_${number}`)]));
  const likes = column("likes");
  const ids = column("video_id");
  const tags = column("hashtags").map((line) => (line ? line.split(" ") : []));
  const descriptions = column("description");
  const seconds = column("seconds");
  const years = column("year");
  const media = column("media");
  const counts = column("count");
  const total = text.length;

  const firstOf = new Uint32Array(ids.length + 1);
  const videoOf = new Uint32Array(total);
  counts.forEach((count, video) => {
    firstOf[video + 1] = firstOf[video] + count;
    videoOf.fill(video, firstOf[video], firstOf[video + 1]);
  });
  const rowOf = new Map(ids.map((id, row) => [id, row]));

  const reasons = new Map();
  for (const failure of head.failures)
    if (failure.video !== null) reasons.set(failure.video, [...(reasons.get(failure.video) ?? []), failure.reason]);

  // A run's answers by comment, spread out when they are first asked for.
  const spread = new Map();
  const answersOf = (run) => {
    if (!run) return null;
    if (!spread.has(run)) {
      const number = about.runs.findIndex(({ name }) => name === run);
      if (number < 0) throw new Error(`The run '${run}' is not in this page.`);
      const steps = column(`run_${number}_comment`);
      const own = { part: column(`run_${number}_part`), at: new Int32Array(total).fill(-1) };
      for (const task of taskNames) {
        own[task] = column(`run_${number}_${task}`);
        own[`${task}_sure`] = column(`run_${number}_${task}_sure`);
      }
      let comment = 0;
      steps.forEach((step, place) => { comment += step; own.at[comment] = place; });
      spread.set(run, own);
    }
    return spread.get(run);
  };

  const chooseVideos = ({ hashtag, failure, video }) => {
    if (!hashtag && !failure && !video) return null;
    const chosen = new Uint8Array(ids.length);
    for (let row = 0; row < ids.length; row++)
      chosen[row] = (!hashtag || tags[row].includes(hashtag)) && (!video || ids[row] === video) &&
        (!failure || (reasons.get(row) ?? []).includes(failure)) ? 1 : 0;
    return chosen;
  };

  // Tests of one comment, the cheap ones first.
  const conditions = (asked) => {
    const tests = [];
    const videos = chooseVideos(asked);
    if (videos) tests.push((c) => videos[videoOf[c]]);
    for (const task of taskNames)
      if (asked[task]) {
        const number = asked[task] === "none" ? NOTHING : tasks[task].indexOf(asked[task]);
        tests.push((c) => labels[task][c] === number);
      }
    if (asked.part) {
      const own = parts[asked.split], number = about.parts.indexOf(asked.part);
      tests.push((c) => own[c] === number);
    }
    const a = answersOf(asked.run), b = answersOf(asked.against), task = asked.task || "opinion";
    if (asked.answered) tests.push((c) => a.at[c] >= 0 && about.parts[a.part[a.at[c]]] === asked.answered);
    if (asked.predicted) {
      const number = tasks[task].indexOf(asked.predicted);
      tests.push((c) => a.at[c] >= 0 && a[task][a.at[c]] === number);
    }
    if (asked.outcome) {
      const label = labels[task];
      const is = (run, c, right) => run.at[c] >= 0 && (run[task][run.at[c]] === label[c]) === right;
      const [ofA, ofB] = { right: [true], wrong: [false], gained: [true, false], lost: [false, true] }[asked.outcome];
      tests.push((c) => label[c] !== NOTHING && is(a, c, ofA) && (ofB === undefined || is(b, c, ofB)));
    }
    if (asked.words) {
      const words = asked.words.toLowerCase();
      tests.push((c) => text[c].toLowerCase().includes(words));
    }
    return tests;
  };

  const choose = (asked) => {
    const tests = conditions(asked);
    const rows = [];
    for (let c = 0; c < total; c++) if (tests.every((test) => test(c))) rows.push(c);
    return rows;
  };

  const page = (rows, number) => rows.slice(number * about.page_size, (number + 1) * about.page_size);

  const commentOf = (asked) => {
    const a = answersOf(asked.run), b = answersOf(asked.against), own = parts[asked.split];
    const answer = (run, c) => {
      if (!run || run.at[c] < 0) return null;
      const at = run.at[c];
      return [...taskNames.flatMap((task) => [run[task][at], run[`${task}_sure`][at] / 100]), run.part[at]];
    };
    return (c) => ({
      id: "", video: ids[videoOf[c]], text: text[c], opinion: labels.opinion[c], emotion: labels.emotion[c],
      likes: likes && likes[c] !== 0xffffffff ? likes[c] : null, day: null, part: own ? own[c] : NOTHING,
      a: answer(a, c), b: answer(b, c),
    });
  };

  const videoFacts = (row) => ({
    id: ids[row], hashtags: tags[row], description: descriptions[row] || null, year: years[row] || null,
    seconds: Number.isNaN(seconds[row]) ? null : seconds[row], language: null, media: head.media[media[row]] ?? null,
    likes: null, plays: null, comments: counts[row], reasons: [...new Set(reasons.get(row) ?? [])].sort(),
  });

  const OF_COMMENTS = ["opinion", "emotion", "part", "words", "answered", "predicted", "outcome"];
  return {
    about,
    comments: async (asked) => {
      const rows = choose(asked);
      return { total: rows.length, rows: page(rows, asked.page || 0).map(commentOf(asked)) };
    },
    videos: async (asked) => {
      let rows;
      if (OF_COMMENTS.some((name) => asked[name])) rows = [...new Set(choose(asked).map((c) => videoOf[c]))];
      else {
        const chosen = chooseVideos(asked);
        rows = [...ids.keys()].filter((row) => !chosen || chosen[row]);
      }
      return { total: rows.length, rows: page(rows, asked.page || 0).map(videoFacts) };
    },
    video: async (asked) => {
      const row = rowOf.get(asked.video);
      if (row === undefined) throw new Error("There is nothing of that name here.");
      const rows = Array.from({ length: counts[row] }, (_, place) => firstOf[row] + place);
      const failures = head.failures.filter(({ video }) => video === row);
      return { video: videoFacts(row), failures, comments: rows.map(commentOf(asked)) };
    },
    failures: async (asked) => {
      const rows = head.failures.filter(({ reason }) => !asked.failure || reason === asked.failure);
      return { total: rows.length, rows: page(rows, asked.page || 0).map((one) => ({ ...one, is_video: one.video !== null })) };
    },
    confusion: async (asked) => {
      const names = tasks[asked.task];
      const cells = names.map(() => names.map(() => 0));
      const run = answersOf(asked.run), label = labels[asked.task];
      for (const c of choose(asked))
        if (run.at[c] >= 0 && label[c] !== NOTHING) cells[label[c]][run[asked.task][run.at[c]]] += 1;
      return { cells };
    },
    windows: async ({ run, video }) =>
      head.windows[run]?.[video] ?? { why: head.windows[run]
        ? `This page holds the windows of ${Object.keys(head.windows[run]).length} videos, and this is none of them: csmv explore shows those of every video.`
        : "This page holds no windows of this run: csmv explore shows those of every run that looks at videos." },
    windowsSample: head.windows,
  };
};
