// Icons, drawn on a grid of 20 with lines of 1.5.

const PATHS = {
	navigate: "M10 2v5M10 13v5M2 10h5M13 10h5",
	point: "M10 6.500a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7M10 2v2M10 16v2M2 10h2M16 10h2",
	brush:
		"M16.500 3.500c-3 1-6 4-7.500 6.500l1 1c2.500-1.500 5.500-4.500 6.500-7.500M8.500 11c-2 0-3 1.200-3 2.800 0 1-.8 1.700-2 1.900 2.500 1.500 6.200.8 6.200-2.400",
	lasso:
		"M10 4c4 0 7 1.800 7 4.500S14 13 10 13s-7-1.800-7-4.500S6 4 10 4M6.500 12.500c-1 .8-.8 2.500.7 2.500 1.300 0 1.800-1.200 1-2M6.500 15c-.3 1.200-1 2-2 2.500",
	box: "M4 4h12v12H4zM4 4v0M16 4v0",
	erase: "M8 16h9M4.500 11.500 11 5l4.500 4.500L9 16H7z M7.500 8.500l4.500 4.500",
	window: "M10 3a7 7 0 1 0 0 14zM10 3a7 7 0 0 1 0 14",
	undo: "M7 4 3.500 7.500 7 11M4 7.500h8a4.500 4.500 0 0 1 0 9H8",
	redo: "M13 4l3.500 3.500L13 11M16 7.500H8a4.500 4.500 0 0 0 0 9h4",
	plus: "M10 4v12M4 10h12",
	minus: "M4 10h12",
	eye: "M2 10c2-3.500 5-5 8-5s6 1.500 8 5c-2 3.500-5 5-8 5s-6-1.500-8-5M10 7.500a2.500 2.500 0 1 0 0 5 2.500 2.500 0 0 0 0-5",
	hidden:
		"M3 3l14 14M7 5.600A9 9 0 0 1 10 5c3 0 6 1.500 8 5a12 12 0 0 1-2.300 2.900M5 7c-1.200.8-2.200 1.800-3 3 2 3.500 5 5 8 5 1 0 2-.2 3-.5",
	remove: "M4 6h12M8 6V4h4v2M5.500 6l.8 10.500h7.400L14.500 6",
	folder: "M2.500 5.500v10h15v-8.500h-8l-1.500-1.500zM2.500 9h15",
	save: "M10 3v9M6.500 9 10 12.500 13.500 9M4 13v3.500h12V13",
	load: "M10 12.500v-9M6.500 7 10 3.500 13.500 7M4 13v3.500h12V13",
	keys: "M2.500 6h15v8.500h-15zM5 8.800h.1M8 8.800h.1M11 8.800h.1M14 8.800h.1M6.500 11.800h7",
	home: "M3.500 9.500 10 4l6.500 5.500M5.500 8.500V16h9V8.500",
	target: "M10 5a5 5 0 1 0 0 10 5 5 0 0 0 0-10M10 1.500v5M10 13.500v5M1.500 10h5M13.500 10h5",
	expand: "M4 8V4h4M12 4h4v4M16 12v4h-4M8 16H4v-4",
	close: "M5 5l10 10M15 5 5 15",
	camera: "M3 6.500h3L7.500 4.500h5L14 6.500h3v9H3zM10 8.500a2.500 2.500 0 1 0 0 5 2.500 2.500 0 0 0 0-5",
};

export function icon(name) {
	const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
	svg.setAttribute("viewBox", "0 0 20 20");
	svg.setAttribute("class", "icon");
	svg.setAttribute("aria-hidden", "true");
	const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
	path.setAttribute("d", PATHS[name]);
	svg.append(path);
	return svg;
}
