"""ResNet-50 with torchvision's weights, which timm downloads."""

_r50 = dict(type="dense3d.TimmBackbone", model_name="resnet50.tv_in1k", pretrained=True)
