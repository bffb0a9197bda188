// The page renews itself while it is visible.
(() => {
  const pause = document.getElementById("pause");
  const say = document.getElementById("say");
  const often = 2000, seldom = 10000;
  let timer = 0, paused = false, lost = false;

  function tell(text) {
    if (say.textContent !== text) say.textContent = text;
  }

  const state = () => document.getElementById("state")?.textContent;
  let latest = 0; // of several that are under way only the last one counts
  async function renew() {
    const mine = ++latest, before = state();
    try {
      if (!(await renewFrom(location.href, ["main", "asof"], () => mine === latest))) return;
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
