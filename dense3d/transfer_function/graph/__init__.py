"""Classification without a checkpoint: random walker on a graph of supervoxels, with learnt features."""
