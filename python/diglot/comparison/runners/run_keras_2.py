"""Keras 2.2.5 on Theano 1.0.5: a Sequential model, compiled and trained."""

from handover import Run

run = Run("channels last")
with run.importing():
    from keras import __version__, layers, losses, models, optimizers
    from keras.utils.conv_utils import convert_kernel
    from theano import config


# ---- lenet
def lenet():
    return [
        layers.Conv2D(20, 5, activation="tanh", input_shape=(28, 28, 1)),
        layers.MaxPooling2D(2),
        layers.Conv2D(50, 5, activation="tanh"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(500, activation="tanh"),
        layers.Dense(10, activation="softmax"),
    ]


# ---- cnn
def cnn():
    first = {"input_shape": (64, 64, 3)}
    model = []
    for channels in (16, 32, 64, 64):
        model.append(layers.Conv2D(channels, 3, padding="same", activation="tanh", **first))
        model.append(layers.MaxPooling2D(2))
        first = {}
    model += [layers.Flatten(), layers.Dense(128, activation="tanh")]
    return model + [layers.Dense(6, activation="softmax")]


# ---- lstm
def lstm():
    return [
        layers.LSTM(128, recurrent_activation="sigmoid", input_shape=(28, 28)),
        layers.Dense(10, activation="softmax"),
    ]


# ---- all
model = models.Sequential({"lenet": lenet, "cnn": cnn, "lstm": lstm}[run.network]())
# Theano turns filters around.
weights = [convert_kernel(w) if w.ndim == 4 else w for w in run.weights.values()]
model.set_weights(weights)
model.compile(optimizers.SGD(run.rate, run.momentum), losses.sparse_categorical_crossentropy)

for batches in run.epochs():
    run.epoch_done([model.train_on_batch(x, y) for x, y in batches])

run.on(config.device)
classes = [model.predict_on_batch(x).argmax(axis=1) for x in run.test_batches()]
run.finish(classes, version=__version__)
