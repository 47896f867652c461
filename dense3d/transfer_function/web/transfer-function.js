// The 1D transfer function of the volume: control points of value, colour and opacity.
//
// Points are [{value, color: [r, g, b] of 0..255, opacity}, ...] with ascending values in the volume's units;
// linear between them, constant beyond.

/** Colours and opacities for the renderer: RGBA of 0..255 at 256 values over the range of the volume. */
export class TransferTable {
	/** rows: of gradients from 0 to `steepest`, in shares of the range a millimetre; one: values alone count. */
	constructor(bytes = new Uint8Array(256 * 4), rows = 1, steepest = 1) {
		Object.assign(this, { bytes, rows, steepest });
		this.largest = new Uint8Array(256); // opacity of a value, whatever the gradient
		for (let at = 0; at < 256 * rows; at++)
			this.largest[at & 255] = Math.max(this.largest[at & 255], bytes[4 * at + 3]);
	}

	/** 0..255 of a value of 0..255 and a gradient. */
	opacity(value, slope) {
		const row = Math.round(Math.min(1, slope / this.steepest) * (this.rows - 1));
		return this.bytes[4 * (value + 256 * row) + 3];
	}
}

export function tabulate(points, [low, high]) {
	const table = new Uint8Array(256 * 4);
	if (!points.length) return new TransferTable();
	for (let at = 0; at < 256; at++) {
		const value = low + (at / 255) * (high - low);
		let next = points.findIndex(point => point.value > value);
		if (next < 0) next = points.length;
		const a = points[Math.max(0, next - 1)];
		const b = points[Math.min(points.length - 1, next)];
		const part = b.value > a.value ? Math.min(1, Math.max(0, (value - a.value) / (b.value - a.value))) : 0;
		for (let c = 0; c < 3; c++) table[4 * at + c] = a.color[c] + part * (b.color[c] - a.color[c]);
		table[4 * at + 3] = Math.round(255 * (a.opacity + part * (b.opacity - a.opacity)));
	}
	return new TransferTable(table);
}
