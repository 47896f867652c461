// Without WebGL2: pictures that the server draws, in the same panes and with the same tools.

import { ask } from "./connection.js";
import { throttle } from "./dom.js";
import { toast } from "./messages.js";

export class ServerPictures {
	constructor(store, grid, panes, redraw) {
		Object.assign(this, { store, grid, panes, redraw });
		this.pictures = new Map(); // name of the pane -> {image, index}
		this.wanted = new Map(); // name -> address; the newest one counts
		panes.volume.askedPick = (x, y) => this.pick(panes.volume, x, y);
		for (const [name, pane] of Object.entries(panes)) {
			const fetch = throttle(() => this.fetch(name, pane), 120);
			pane.fallback = () => fetch();
			const annotate = pane.annotate.bind(pane);
			pane.annotate = (context, size) => {
				this.picture(context, size, name, pane);
				annotate(context, size);
			};
		}
	}

	address(name, pane) {
		const { view, server } = this.store;
		if (name === "volume") {
			return `/api/render?${this.scene(pane)}`;
		}
		const { axis } = pane.plane;
		const [low, high] = server.volume.range;
		const ends = [view.window.low, view.window.high].map(part => low + part * (high - low));
		const fields = {
			axis,
			index: view.crosshair[axis],
			width: 512,
			overlay: view.overlay.on ? 1 : 0,
			low: ends[0],
			high: ends[1],
			revision: server.revision,
		};
		return `/api/slice?${new URLSearchParams(fields)}`;
	}

	/** Fields of the 3D view, for its picture and for what a point of it shows. */
	scene(pane) {
		const { view, server } = this.store;
		const { azimuth, elevation, zoom, pan } = view.camera;
		const fields = {
			azimuth,
			elevation,
			zoom,
			pan_x: pan[0],
			pan_y: pan[1],
			low: view.clip.low.join(),
			high: view.clip.high.join(),
			shading: view.shading,
			volume: view.volumeOpacity > 0 ? 1 : 0,
			width: Math.round(pane.size.width),
			height: Math.round(pane.size.height),
			quality: "preview",
			revision: server.revision,
		};
		return new URLSearchParams(fields);
	}

	/** Voxel of the opened volume that the server's picture shows at a point, or null. */
	async pick(pane, x, y) {
		const fields = this.scene(pane);
		fields.set("x", x);
		fields.set("y", y);
		return (await (await ask(`/api/pick?${fields}`)).json())?.voxel ?? null;
	}

	async fetch(name, pane) {
		const address = this.address(name, pane);
		if (this.wanted.get(name) === address || pane.size.width < 2) return;
		this.wanted.set(name, address);
		try {
			const image = await createImageBitmap(await (await ask(address)).blob());
			if (this.wanted.get(name) !== address) return;
			this.pictures.set(name, image);
			this.redraw(name);
		} catch (error) {
			if (this.wanted.get(name) === address) this.wanted.delete(name);
			toast(error.message, "error");
		}
	}

	picture(context, { width, height }, name, pane) {
		context.fillStyle = "#0a0d11";
		context.fillRect(0, 0, width, height);
		const image = this.pictures.get(name);
		if (!image) return;
		if (name === "volume") {
			context.drawImage(image, 0, 0, width, height);
			return;
		}
		// its columns run with the index, the pane's against it; its rows have the largest index on top, as here
		const { u, v } = pane.plane;
		const start = [0, 0, 0];
		const end = [0, 0, 0];
		start[u] = this.grid.shape[u];
		start[v] = this.grid.shape[v];
		const [left, top] = pane.camera.toScreen(start, width, height);
		const [right, bottom] = pane.camera.toScreen(end, width, height);
		context.save();
		context.translate(right, top);
		context.scale(-1, 1);
		context.drawImage(image, 0, 0, right - left, bottom - top);
		context.restore();
	}
}
