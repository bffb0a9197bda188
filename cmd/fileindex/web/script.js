// The page searches while somebody types, and again whenever the index has changed.
(() => {
  const form = document.getElementById("search");
  const text = document.getElementById("q");
  const category = document.getElementById("category");
  const say = document.getElementById("say");
  const main = document.getElementById("main");
  const pause = 120; // milliseconds without a key before it searches
  let timer = 0, latest = 0;

  function tell(what) {
    if (say.textContent !== what) say.textContent = what;
  }

  // address is the page's for what is in the form.
  function address() {
    const query = new URLSearchParams();
    if (text.value) query.set("q", text.value);
    if (category.value) query.set("category", category.value);
    return location.pathname + (query.size ? "?" + query : "");
  }

  async function renew(announce) {
    const mine = ++latest;
    try {
      if (!(await renewFrom(address(), ["main"], () => mine === latest))) return;
      tell(announce ? document.getElementById("caption").textContent : "");
    } catch {
      if (mine === latest) tell("No answer: what is shown is old.");
    }
  }

  function search() {
    clearTimeout(timer);
    history.replaceState(null, "", address());
    renew(true);
  }

  text.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, pause);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    search();
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("#categories a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    category.value = new URL(link.href).searchParams.get("category") ?? "";
    search();
  });

  // What changes while the page is hidden is shown when it is seen again.
  let source = null;
  function listen() {
    if (document.hidden) {
      source?.close();
      source = null;
    } else if (!source) {
      source = new EventSource("events");
      source.onmessage = (event) => event.data !== main.dataset.number && renew(false);
      source.onerror = () => tell("No answer: what is shown is old.");
      source.onopen = () => tell("");
    }
  }
  document.addEventListener("visibilitychange", listen);
  listen();
})();
