// The page works without this: its forms are sent, and the answer is the page. With
// it the list is live, and forms are sent without leaving the page.
"use strict";

const list = document.getElementById("list");
const add = document.getElementById("add");
const { title, key } = add.elements;
const problem = document.getElementById("problem");
const state = document.getElementById("state");

function show(html) {
	const focused = document.activeElement?.id;
	list.innerHTML = html; // the server's template has escaped it
	if (focused && document.activeElement?.id !== focused) {
		(document.getElementById(focused) ?? title).focus();
	}
	state.textContent = "Live. To do: " + list.querySelector("small").textContent;
}

// A stream that breaks off the browser opens again, and tells in the header
// Last-Event-ID what it saw last. When the answer is no stream, as from a proxy whose
// server is away, it gives up, and a new one begins here, with the same in its address.
function connect() {
	const live = new EventSource("/live?seen=" + list.dataset.seen);
	live.onopen = () => { state.textContent = "Live."; };
	live.onmessage = event => {
		list.dataset.seen = event.lastEventId;
		show(event.data);
	};
	live.onerror = () => {
		state.textContent = "Not up to date. Connecting again …";
		if (live.readyState === EventSource.CLOSED) setTimeout(connect, 1000);
	};
}
connect();

// What cannot be sent, or comes too early, is sent again: the form's key says that it
// is the same request, and the other forms may be sent twice.
async function send(form, body) {
	for (;;) {
		try {
			const answer = await fetch(form.action, { method: "POST", body, redirect: "manual" });
			if (![502, 503, 504].includes(answer.status)) return answer.type === "opaqueredirect" ? "" : (await answer.text()).trim();
		} catch { /* the server is away */ }
		problem.textContent = "Not sent yet. Trying again …";
		await new Promise(later => setTimeout(later, 1000));
	}
}

const first = key.value;
let sent = 0;

document.addEventListener("submit", async event => {
	event.preventDefault();
	const form = event.target;
	const body = new URLSearchParams(new FormData(form, event.submitter));
	if (form === add) { // the next task, which may be typed meanwhile, is another request
		title.value = "";
		key.value = first + "-" + ++sent;
	}
	problem.textContent = await send(form, body);
	if (form === add && problem.textContent !== "" && title.value === "") title.value = body.get("title");
});
