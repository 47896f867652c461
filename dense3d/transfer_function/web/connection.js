// The line to the server: JSON both ways, binary frames with scores, and calling again when it breaks.

const WAITS = [250, 500, 1000, 2000, 4000]; // milliseconds until the next attempt

export class Connection {
	/**
	 * handlers: state, progress, done, error, planes(header, bytes), maps(header, bytes), status(connected),
	 * replaced() when the server shows another volume.
	 */
	constructor(handlers) {
		this.handlers = handlers;
		this.request = 0;
		this.attempt = 0;
		this.waiting = new Map(); // request -> resolves with its answer: done, error, or lost with the line
		this.queue = new Map(); // request -> text: what was asked for while the line was down
		this.socket = null;
	}

	/** key: of the volume that the page shows. */
	open(key) {
		const scheme = location.protocol === "https:" ? "wss" : "ws";
		const socket = new WebSocket(`${scheme}://${location.host}/ws?volume=${key}`);
		socket.binaryType = "arraybuffer";
		socket.onopen = () => {
			this.attempt = 0;
			this.handlers.status(true);
			for (const text of this.queue.values()) socket.send(text);
			this.queue.clear();
		};
		socket.onmessage = event => this.receive(event.data);
		socket.onclose = event => {
			for (const request of this.waiting.keys())
				if (!this.queue.has(request)) this.answer({ type: "lost", request });
			if (event.code === 4410) {
				this.queue.clear(); // meant for the other volume
				this.handlers.replaced();
				return;
			}
			this.handlers.status(false);
			setTimeout(() => this.open(key), WAITS[Math.min(this.attempt++, WAITS.length - 1)]);
		};
		this.socket = socket;
	}

	get up() {
		return this.socket?.readyState === WebSocket.OPEN;
	}

	/** Send a message, later if the line is down; resolves to the server's "done" or "error", or to "lost". */
	send(type, fields = {}) {
		const request = ++this.request;
		const text = JSON.stringify({ type, request, ...fields });
		if (this.up) this.socket.send(text);
		else this.queue.set(request, text);
		return new Promise(resolve => this.waiting.set(request, resolve));
	}

	/** Send what is of no use later. */
	tell(type, fields) {
		if (this.up) this.socket.send(JSON.stringify({ type, request: ++this.request, ...fields }));
	}

	answer(message) {
		this.waiting.get(message.request)?.(message);
		this.waiting.delete(message.request);
	}

	receive(data) {
		if (typeof data === "string") {
			const message = JSON.parse(data);
			this.handlers[message.type]?.(message);
			if (message.type === "done" || message.type === "error") this.answer(message);
			return;
		}
		for (let at = 0; at < data.byteLength; ) {
			const length = new DataView(data, at).getUint32(0, true);
			const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, at + 4, length)));
			const size = header.shape.reduce((product, side) => product * side, 4 * header.groups.length);
			this.handlers[header.type]?.(header, new Uint8Array(data, at + 4 + length, size));
			at += 4 + length + size;
		}
	}
}

/** GET or POST; a refusal becomes an Error with the server's sentence. */
export async function ask(path, options) {
	const answer = await fetch(path, options);
	if (!answer.ok) {
		const text = await answer.text();
		let message = text;
		try {
			const parsed = JSON.parse(text);
			message = parsed.message ?? parsed.error ?? parsed.detail ?? text;
		} catch {
			// the sentence stands there as it is
		}
		throw new Error(message || `The server answered ${answer.status}.`);
	}
	return answer;
}

/** Body of an answer, telling which part of it is here. */
export async function download(path, onPart) {
	const answer = await ask(path);
	const total = Number(answer.headers.get("Content-Length")) || 0;
	if (!answer.body || !total || answer.headers.get("Content-Encoding")) {
		return { bytes: new Uint8Array(await answer.arrayBuffer()), headers: answer.headers };
	}
	const bytes = new Uint8Array(total);
	const reader = answer.body.getReader();
	let at = 0;
	for (;;) {
		const { done, value } = await reader.read();
		if (done) break;
		bytes.set(value, at);
		at += value.length;
		onPart?.(at / total);
	}
	return { bytes, headers: answer.headers };
}
