// What a person should know of how the volume was opened: values replaced, slices missing, what was guessed.

import { section } from "./controls.js";
import { h } from "./dom.js";

export class NotesPanel {
	constructor(store) {
		const list = h("ul", { class: "notes" });
		this.element = section("notes", "About this volume", "What was noticed when it was opened", list);
		store.on("state", () => {
			const notes = [...(store.server.volume.notes ?? []), ...(store.server.notes ?? [])];
			this.element.hidden = !notes.length;
			if (list.children.length !== notes.length || list.textContent !== notes.join(""))
				list.replaceChildren(...notes.map(note => h("li", {}, note)));
		});
	}
}
