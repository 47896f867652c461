"""VoteNet's official training: Adam, 180 epochs, rates and the momentum of batch norms falling in steps."""

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=180, val_interval=10)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-3))
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[80, 120, 160], gamma=0.1)]
custom_hooks = [dict(type="NormMomentumHook", start=0.5, factor=0.5, step=20, least=0.001)]
