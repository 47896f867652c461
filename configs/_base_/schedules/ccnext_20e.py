"""CCNeXt's schedule: Adam, no weight decay, a tenth of the learning rate after 15 of 20 epochs, batch 8."""

max_epochs = 20
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-4))
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[15], gamma=0.1)]
auto_scale_lr = dict(base_batch_size=8)
