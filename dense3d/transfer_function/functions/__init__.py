"""1D and 2D transfer functions of raw volumes, histograms, presets, and files that other programs read."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "curves": ["TransferFunction"],
        "documents": ["from_document", "to_document"],
        "files": [
            "label_colors_text",
            "parse_label_colors",
            "parse_transfer_function",
            "read_label_colors",
            "read_transfer_function",
            "transfer_function_text",
            "write_label_colors",
            "write_transfer_function",
        ],
        "histograms": ["Histogram", "Histogram2D", "histogram", "histogram_2d"],
        "label_colors": ["LabelColor"],
        "presets": ["preset", "preset_names"],
        "regions": ["Box", "Gaussian", "Regions"],
    },
)
