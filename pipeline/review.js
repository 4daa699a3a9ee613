"use strict";
(() => {
  const lists = { allow: new Set(), deny: new Set() };
  const other = { allow: "deny", deny: "allow" };
  const samples = [...document.querySelectorAll(".sample")];
  const save = document.getElementById("save");
  let unsaved = false;
  let address = "";

  const wordOf = (sample) => sample.querySelector("input").value.trim();

  const showSample = (sample) => {
    for (const button of sample.querySelectorAll("button"))
      button.setAttribute("aria-pressed", String(lists[button.dataset.list].has(wordOf(sample))));
  };

  const choose = (sample, word) => {
    sample.querySelector("input").value = word;
    showSample(sample);
  };

  const chip = (name, word) => {
    const item = document.createElement("li");
    item.textContent = word;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "×";
    button.setAttribute("aria-label", `take ${word} off the list`);
    button.addEventListener("click", () => decide(name, word));
    item.append(button);
    return item;
  };

  const show = () => {
    for (const [name, words] of Object.entries(lists))
      document.querySelector(`ul[data-list=${name}]`).replaceChildren(...[...words].map((word) => chip(name, word)));
    samples.forEach(showSample);
    const total = lists.allow.size + lists.deny.size;
    document.getElementById("counts").textContent =
      total ? `${lists.allow.size} allowed, ${lists.deny.size} denied` : "No decision yet";
    URL.revokeObjectURL(address);
    address = "";
    if (total) {
      const decisions = { allow: [...lists.allow].sort(), deny: [...lists.deny].sort() };
      const text = JSON.stringify(decisions, null, 1) + "\n";
      address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
      save.href = address;
    } else save.removeAttribute("href");
    save.setAttribute("aria-disabled", String(!total));
    unsaved = total > 0;
  };

  // The second time the same is said, it is taken back.
  const decide = (name, word) => {
    if (!lists[name].delete(word)) {
      lists[name].add(word);
      lists[other[name]].delete(word);
    }
    show();
  };

  const decideOn = (sample, name) => {
    const word = wordOf(sample);
    if (word) decide(name, word);
    else sample.querySelector("input").focus();
  };

  for (const sample of samples) {
    for (const button of sample.querySelectorAll("button"))
      button.addEventListener("click", () => decideOn(sample, button.dataset.list));
    for (const mark of sample.querySelectorAll(".text mark"))
      mark.addEventListener("click", () => choose(sample, mark.textContent.trim()));
    sample.querySelector("input").addEventListener("input", () => showSample(sample));
  }

  document.addEventListener("selectionchange", () => {
    const selection = document.getSelection();
    const word = selection.toString().trim();
    const textOf = (node) => (node instanceof Element ? node : node?.parentElement)?.closest(".text");
    const text = textOf(selection.anchorNode);
    if (word && word.length <= 100 && text && text === textOf(selection.focusNode)) choose(text.parentElement, word);
  });

  const go = (step) => {
    const seen = samples.filter((sample) => sample.offsetParent !== null);
    const at = seen.findIndex((sample) => sample.contains(document.activeElement));
    const next = seen[Math.min(Math.max(at + step, 0), seen.length - 1)];
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLInputElement) return;
    const sample = document.activeElement?.closest(".sample");
    if (event.key === "j") go(1);
    else if (event.key === "k") go(-1);
    else if (event.key === "a" && sample) decideOn(sample, "allow");
    else if (event.key === "d" && sample) decideOn(sample, "deny");
    else return;
    event.preventDefault();
  });

  save.addEventListener("click", () => { unsaved = false; });
  window.addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });
})();
