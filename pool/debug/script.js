// The page is fetched again and again, and what has changed in it is changed here: what
// is focused, selected, unfolded or scrolled to stays so. Nothing is fetched while the
// page is hidden.
"use strict";
(() => {
  const pause = document.getElementById("pause");
  const say = document.getElementById("say");
  const often = 2000, seldom = 10000;
  let timer = 0, paused = false, lost = false;

  // morph makes one element like another one, which is of the same kind.
  function morph(from, to) {
    for (const { name } of [...from.attributes]) {
      if (!to.hasAttribute(name) && !(name === "open" && from.localName === "details")) from.removeAttribute(name);
    }
    for (const { name, value } of to.attributes) {
      if (from.getAttribute(name) !== value) from.setAttribute(name, value);
    }
    const known = new Map([...from.children].filter((c) => c.id).map((c) => [c.id, c]));
    let at = from.firstChild;
    for (const next of [...to.childNodes]) {
      let old = next.id ? known.get(next.id) : at && !at.id && at.nodeName === next.nodeName ? at : null;
      if (old && old.nodeName !== next.nodeName) old = null;
      if (!old) {
        from.insertBefore(next, at);
        continue;
      }
      if (old === at) at = at.nextSibling;
      else from.insertBefore(old, at);
      if (old.nodeType === Node.ELEMENT_NODE) morph(old, next);
      else if (old.data !== next.data) old.data = next.data;
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  }

  function tell(text) {
    if (say.textContent !== text) say.textContent = text;
  }

  let latest = 0; // of several that are under way only the last one counts
  async function renew() {
    const mine = ++latest;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (mine !== latest) return;
      const main = page.getElementById("main");
      if (!main) throw new Error("no page");
      const state = () => document.getElementById("state")?.textContent;
      const focused = document.activeElement, before = state();
      morph(document.getElementById("main"), main);
      morph(document.getElementById("asof"), page.getElementById("asof"));
      if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
      tell(state() !== before ? `The pool is now ${state()}.` : "");
      lost = false;
    } catch {
      if (mine !== latest) return;
      lost = true;
      tell("No answer: what is shown is old.");
    }
    wait();
  }

  function wait() {
    clearTimeout(timer);
    if (!paused && !document.hidden) timer = setTimeout(renew, lost ? seldom : often);
  }

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    paused ? wait() : renew();
  });
  document.addEventListener("visibilitychange", () => (document.hidden || paused ? wait() : renew()));
  wait();
})();
