"use strict";
// Answers come from the server that this page came from.
const openSource = async () => {
  const ask = async (question, fields = {}) => {
    const address = new URLSearchParams(Object.entries(fields).filter(([, value]) => value !== "" && value !== 0));
    const reply = await fetch(`/api/${question}?${address}`);
    const data = await reply.json();
    if (!reply.ok) throw new Error(data.error);
    return data;
  };
  const source = { about: await ask("about") };
  for (const question of ["comments", "videos", "video", "failures", "confusion", "windows"])
    source[question] = (fields) => ask(question, fields);
  return source;
};
