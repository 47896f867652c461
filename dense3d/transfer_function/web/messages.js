// Sentences for people (toasts), tooltips, and dialogs.

import { h } from "./dom.js";
import { icon } from "./icons.js";

/** A sentence that goes by itself; kinds: info, error, success. */
export function toast(message, kind = "info", seconds = kind === "error" ? 9 : 4) {
	const place = document.getElementById("toasts");
	for (const old of place.children) if (old.dataset.message === message) old.remove();
	const close = () => element.remove();
	const element = h(
		"div",
		{ class: `toast ${kind}`, role: kind === "error" ? "alert" : "status" },
		h("span", {}, message),
		h("button", { type: "button", "aria-label": "Close message", onclick: close }, icon("close")),
	);
	element.dataset.message = message;
	place.append(element);
	while (place.children.length > 4) place.firstChild.remove();
	setTimeout(close, seconds * 1000);
}

/** Shows what `data-tip` says once the pointer rests, or the keyboard stands, on an element. */
export function startTooltips() {
	const bubble = h("div", { id: "tip", role: "tooltip" });
	document.body.append(bubble);
	let timer = null;
	const hide = () => {
		clearTimeout(timer);
		bubble.classList.remove("on");
	};
	const show = (target, wait) => {
		hide();
		timer = setTimeout(() => {
			if (!target.isConnected) return;
			bubble.textContent = target.dataset.tip;
			const box = target.getBoundingClientRect();
			bubble.classList.add("on");
			const { offsetWidth: wide, offsetHeight: high } = bubble;
			const below = box.bottom + 8 + high < innerHeight;
			const left = box.left + box.width / 2 - wide / 2;
			bubble.style.left = `${Math.max(6, Math.min(innerWidth - wide - 6, left))}px`;
			bubble.style.top = `${below ? box.bottom + 8 : box.top - high - 8}px`;
		}, wait);
	};
	document.addEventListener("pointerover", event => {
		const target = event.target.closest?.("[data-tip]");
		if (target) show(target, 450);
		else hide();
	});
	document.addEventListener("focusin", event => {
		const target = event.target.closest?.("[data-tip]");
		if (target && event.target.matches(":focus-visible")) show(target, 700);
	});
	for (const name of ["pointerdown", "wheel", "keydown", "focusout"])
		document.addEventListener(name, hide, true);
}

/** A modal dialog with a heading; closes by Escape, its cross, or `close()`. */
export function dialog(title, ...children) {
	const element = h(
		"dialog",
		{ class: "dialog", "aria-label": title },
		h(
			"header",
			{},
			h("h2", {}, title),
			h(
				"button",
				{ type: "button", class: "icon-button", "aria-label": "Close", onclick: () => element.close() },
				icon("close"),
			),
		),
		...children,
	);
	element.addEventListener("close", () => element.remove());
	element.addEventListener("click", event => {
		if (event.target === element) element.close();
	});
	document.body.append(element);
	element.showModal();
	return element;
}
