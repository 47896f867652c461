"""One linear layer on Point-MAE's frozen features, ScanObjectNN PB_T50_RS: the MLP-linear protocol.

Dong et al., "Autoencoders as Cross-Modal Teachers", ICLR 2023.
"""

_base_ = ["./point-mae_pt-s_1xb32-300e_scanobjectnn-pb-t50-rs.py"]

model = dict(backbone=dict(frozen=True), head=dict(hidden_channels=()))
