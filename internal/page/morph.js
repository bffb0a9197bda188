// What is fetched again and again is not put in the place of what is there: what has
// changed is changed, so that what is focused, selected, unfolded or scrolled to stays so.
"use strict";

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

// renewFrom fetches a page and makes elements of this one, by their ids, like the same
// ones of that.
async function renewFrom(url, ids, isLatest) {
  const answer = await fetch(url, { cache: "no-store" });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (!isLatest()) return false;
  if (!page.getElementById("main")) throw new Error("no page");
  const focused = document.activeElement;
  for (const id of ids) morph(document.getElementById(id), page.getElementById(id));
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  return true;
}
