"""Keras 3, on the backend that KERAS_BACKEND names: a Sequential model, compiled and trained."""

import os

from handover import Run

run = Run("channels last")
with run.importing():
    import keras
    from keras import layers

backend = os.environ["KERAS_BACKEND"]
if backend == "torch":
    import torch

    torch.set_num_threads(run.threads)
    torch.backends.cudnn.allow_tf32 = False
elif backend == "tensorflow":
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(run.threads)


# ---- lenet
def lenet():
    return [
        keras.Input((28, 28, 1)),
        *(layers.Conv2D(20, 5, activation="tanh"), layers.MaxPooling2D(2)),
        *(layers.Conv2D(50, 5, activation="tanh"), layers.MaxPooling2D(2)),
        *(layers.Flatten(), layers.Dense(500, activation="tanh"), layers.Dense(10)),
    ]


# ---- cnn
def cnn():
    model = [keras.Input((64, 64, 3))]
    for channels in (16, 32, 64, 64):
        model += [layers.Conv2D(channels, 3, padding="same", activation="tanh")]
        model += [layers.MaxPooling2D(2)]
    return [*model, layers.Flatten(), layers.Dense(128, activation="tanh"), layers.Dense(6)]


# ---- lstm
def lstm():
    return [keras.Input((28, 28)), layers.LSTM(128), layers.Dense(10)]


# ---- all
model = keras.Sequential({"lenet": lenet, "cnn": cnn, "lstm": lstm}[run.network]())
model.set_weights(list(run.weights.values()))
model.compile(
    optimizer=keras.optimizers.SGD(run.rate, momentum=run.momentum),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
)


def step(images, labels):
    model.reset_metrics()  # what it returns would be the mean of all batches so far
    return model.train_on_batch(images, labels)


for batches in run.epochs():
    run.epoch_done([step(x, y) for x, y in batches])

run.on(model.trainable_variables[0].value.device)
classes = [model.predict_on_batch(x).argmax(axis=1) for x in run.test_batches()]
run.finish(classes, version=keras.__version__)
