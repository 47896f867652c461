// The keyboard: what each key does, a list of them, and other keys for those who want them.

import { h } from "./dom.js";
import { dialog, toast } from "./messages.js";
import { BACKGROUND } from "./store.js";
import { TOOLS } from "./tools.js";

const PLACE = "dense3d.keys"; // in localStorage: {name of the action: key}

/** Actions with their usual keys, in the order of the list. */
function bindings(app) {
	const { store, actions } = app;
	const tools = TOOLS.map(tool => [
		`tool.${tool.name}`,
		tool.key,
		`Tool: ${tool.title.toLowerCase()}`,
		() => store.set({ tool: tool.name }),
	]);
	const radius = factor => store.set({ radius: Math.min(60, Math.max(0.5, store.view.radius * factor)) });
	return [
		[
			"annotate",
			"space",
			"Mark the voxel at the crosshair for the class",
			() => actions.point(store.view.crosshair, store.view.positive),
		],
		[
			"refuse",
			"shift+space",
			"Mark it as not of the class",
			() => actions.point(store.view.crosshair, !store.view.positive),
		],
		[
			"sign",
			"i",
			"Switch between belongs and does not belong",
			() => store.set({ positive: !store.view.positive }),
		],
		["next", "w", "Next slice", () => app.active().step?.(1)],
		["previous", "s", "Previous slice", () => app.active().step?.(-1)],
		["class.new", "n", "New class", () => actions.addClass()],
		["class.cycle", "x", "Next class", () => actions.cycleClass(1)],
		["class.background", "0", "Background", () => store.activate(BACKGROUND)],
		[
			"class.hide",
			"h",
			"Show or hide the class",
			() => {
				const item = store.classOf(store.view.activeClass);
				if (item) actions.updateClass(item.id, { visible: !item.visible });
			},
		],
		[
			"overlay",
			"t",
			"Overlay on or off",
			() => store.set({ overlay: { ...store.view.overlay, on: !store.view.overlay.on } }),
		],
		["brush.smaller", "[", "Smaller brush", () => radius(1 / 1.25)],
		["brush.larger", "]", "Larger brush", () => radius(1.25)],
		["undo", "ctrl+z", "Undo", () => actions.undo()],
		["redo", "ctrl+y", "Redo", () => actions.redo()],
		["redo.other", "ctrl+shift+z", "Redo", () => actions.redo()],
		[
			"expand",
			"f",
			"Fill the window with the pane under the mouse, and back",
			() => app.expand(app.active().name),
		],
		["unsure", "u", "Go to the least certain place", () => app.goToUnsure()],
		["reset", "home", "Slices and 3D view as at the start", () => app.resetViews()],
		...tools,
		["help", "?", "This list", () => showKeys(app)],
	];
}

function chord(event) {
	const key = event.key === " " ? "space" : event.key.toLowerCase();
	const shift = event.shiftKey && (key.length > 1 || event.ctrlKey || event.metaKey);
	return `${event.ctrlKey || event.metaKey ? "ctrl+" : ""}${shift ? "shift+" : ""}${key}`;
}

function bound() {
	try {
		return JSON.parse(localStorage.getItem(PLACE)) ?? {};
	} catch {
		return {};
	}
}

export function startKeys(app) {
	app.bindings = bindings(app);
	// a button that was clicked gives the keyboard back, so that Space marks and does not press it again
	document.addEventListener("click", event => event.detail > 0 && event.target.closest("button")?.blur());
	document.addEventListener("keydown", event => {
		if (app.rebinding || event.altKey || document.querySelector("dialog[open]")) return;
		const { target } = event;
		const writes = target.matches("input:not([type=range],[type=checkbox],[type=color]), textarea, select");
		const presses = target.matches("button, summary, input") && [" ", "Enter"].includes(event.key);
		if (writes || (presses && target.matches(":focus-visible"))) return;
		const pressed = chord(event);
		const own = bound();
		const found = app.bindings.find(([name, key]) => (own[name] ?? key) === pressed);
		if (found) found[3]();
		else if (/^[1-9]$/.test(pressed)) {
			const item = app.store.classes[Number(pressed) - 1];
			if (item) app.store.activate(item.id);
			else toast(`There is no class ${pressed}: N makes a new one.`);
		} else return;
		event.preventDefault();
	});
}

const shown = key => key.split("+").map(part => h("kbd", {}, part.length === 1 ? part.toUpperCase() : part));

/** The list; a click on a key waits for another one. */
export function showKeys(app) {
	const own = bound();
	const rows = app.bindings.map(([name, usual, text]) => {
		const button = h(
			"button",
			{ type: "button", class: "key", "aria-label": `Change the key for: ${text}` },
			...shown(own[name] ?? usual),
		);
		button.addEventListener("click", () => {
			button.replaceChildren("press a key …");
			app.rebinding = true;
			document.addEventListener(
				"keydown",
				event => {
					if (["Shift", "Control", "Meta", "Alt"].includes(event.key)) return;
					event.preventDefault();
					event.stopPropagation();
					app.rebinding = false;
					if (event.key !== "Escape") own[name] = chord(event);
					localStorage.setItem(PLACE, JSON.stringify(own));
					button.replaceChildren(...shown(own[name] ?? usual));
				},
				{ capture: true, once: true },
			);
		});
		return h("div", { class: "key-row" }, h("span", {}, text), button);
	});
	const fixed = [
		["1 … 9", "Class of that number"],
		["Wheel", "Slice under the mouse; zoom in the 3D view"],
		["Ctrl + wheel", "Zoom a slice"],
		["Shift + move", "Crosshair follows the mouse"],
		["Alt + drag", "Window / level"],
		["Middle drag", "Pan"],
		["Right button", "The opposite sign"],
	].map(([key, text]) =>
		h("div", { class: "key-row" }, h("span", {}, text), h("span", { class: "key" }, h("kbd", {}, key))),
	);
	const reset = h(
		"button",
		{
			type: "button",
			class: "button",
			onclick: () => {
				localStorage.removeItem(PLACE);
				element.close();
				showKeys(app);
			},
		},
		"Usual keys",
	);
	const element = dialog(
		"Keys and mouse",
		h("p", { class: "note" }, "Click on a key to choose another one."),
		h("div", { class: "key-list" }, ...rows, ...fixed),
		h("footer", {}, reset),
	);
}
