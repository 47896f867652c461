// The 1D transfer function of the volume: control points of value, colour and opacity, and ready-made ones.
//
// Points are [{value, color: [r, g, b] of 0..255, opacity}, ...] with ascending values in the volume's units;
// linear between them, constant beyond.

/** RGBA of 0..255 at 256 values over [low, high]. */
export function tabulate(points, [low, high]) {
	const table = new Uint8Array(256 * 4);
	if (!points.length) return table;
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
	return table;
}

const point = (value, color, opacity) => ({ value, color, opacity });

// values in Hounsfield units
const CT = [
	[
		"CT bone",
		[
			[-1024, [0, 0, 0], 0],
			[140, [120, 52, 36], 0],
			[230, [206, 150, 110], 0.45],
			[500, [240, 222, 190], 0.9],
			[1500, [255, 252, 244], 0.98],
		],
	],
	[
		"CT muscle and bone",
		[
			[-1024, [0, 0, 0], 0],
			[-20, [120, 50, 40], 0],
			[60, [170, 74, 60], 0.08],
			[160, [196, 120, 90], 0.12],
			[300, [226, 190, 150], 0.6],
			[1200, [255, 250, 238], 0.95],
		],
	],
	[
		"CT skin",
		[
			[-1024, [0, 0, 0], 0],
			[-600, [120, 80, 60], 0],
			[-250, [222, 170, 136], 0.35],
			[100, [230, 184, 152], 0.55],
			[500, [250, 240, 225], 0.8],
		],
	],
	[
		"CT lung",
		[
			[-1024, [0, 0, 0], 0],
			[-950, [60, 90, 140], 0],
			[-850, [90, 140, 190], 0.05],
			[-600, [150, 190, 215], 0.09],
			[-400, [120, 60, 50], 0],
			[3000, [120, 60, 50], 0],
		],
	],
	[
		"CT vessels",
		[
			[-1024, [0, 0, 0], 0],
			[120, [120, 20, 20], 0],
			[200, [200, 50, 40], 0.4],
			[400, [240, 120, 80], 0.7],
			[1000, [255, 240, 220], 0.9],
		],
	],
];

// values as shares of the window
const OTHER = [
	[
		"Surface",
		[
			[0.12, [60, 60, 66], 0],
			[0.3, [196, 176, 158], 0.25],
			[0.7, [232, 216, 198], 0.45],
			[1, [255, 250, 240], 0.8],
		],
	],
	[
		"Bright structures",
		[
			[0.55, [90, 30, 30], 0],
			[0.8, [226, 120, 80], 0.4],
			[1, [255, 244, 226], 0.9],
		],
	],
	[
		"Mist",
		[
			[0, [40, 60, 90], 0],
			[1, [220, 230, 240], 0.12],
		],
	],
	[
		"Spectrum",
		[
			[0.15, [60, 60, 160], 0],
			[0.35, [60, 160, 190], 0.06],
			[0.55, [110, 190, 110], 0.1],
			[0.75, [236, 190, 80], 0.25],
			[1, [236, 90, 70], 0.7],
		],
	],
];

/** Ready-made functions that suit a volume: [[name, points], ...]; the first suits it best. */
export function presets(volume) {
	const [low, high] = volume.range;
	const hounsfield = volume.modality === "CT" || (low < -500 && high > 200);
	const { window } = volume;
	const relative = OTHER.map(([name, points]) => [
		name,
		points.map(([part, color, opacity]) =>
			point(window.low + part * (window.high - window.low), color, opacity),
		),
	]);
	if (!hounsfield) return relative;
	return [...CT.map(([name, points]) => [name, points.map(one => point(...one))]), ...relative.slice(1)];
}
