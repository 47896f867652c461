// 2D transfer functions: boxes of values and gradient magnitudes, over one another
// (dense3d/transfer_function/functions/regions.py).

import { TransferTable } from "./transfer-function.js";

export const UNBOUNDED = 1e9; // a gradient that stands for no upper bound
const ROWS = 64;

/** Gradient at the end of the table: beyond every bound. */
const steepestOf = regions =>
	1.05 * Math.max(...regions.map(({ slopes: [low, high] }) => (high >= UNBOUNDED ? 2 * low : high))) || 1;

/** Table over values of the range and gradients. */
export function tabulateRegions(regions, [low, high]) {
	const steepest = steepestOf(regions);
	const bytes = new Uint8Array(256 * ROWS * 4);
	for (let row = 0; row < ROWS; row++) {
		const slope = (row / (ROWS - 1)) * steepest;
		const here = regions.filter(({ slopes }) => slope >= slopes[0] && slope <= slopes[1]);
		for (let at = 0; at < 256 && here.length; at++) {
			const value = low + (at / 255) * (high - low);
			let passed = 1;
			let weight = 0;
			const sum = [0, 0, 0];
			for (const { values, color, opacity } of here) {
				if (value < values[0] || value > values[1]) continue;
				passed *= 1 - opacity;
				weight += opacity;
				for (let c = 0; c < 3; c++) sum[c] += opacity * color[c];
			}
			if (!weight) continue;
			const place = 4 * (at + 256 * row);
			for (let c = 0; c < 3; c++) bytes[place + c] = Math.round(sum[c] / weight);
			bytes[place + 3] = Math.round(255 * (1 - passed));
		}
	}
	return new TransferTable(bytes, ROWS, steepest / (high - low || 1));
}
