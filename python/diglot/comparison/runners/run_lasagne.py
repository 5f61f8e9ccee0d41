"""Theano 0.8.2 and Lasagne 0.1: layers on a graph of symbols, one compiled function a step."""

from handover import Run

run = Run("channels first")
with run.importing():
    import lasagne
    import numpy as np
    import theano
    import theano.tensor as T
    from lasagne import layers
    from lasagne.nonlinearities import softmax, tanh

given = run.weights


def convolution(layer, name, **how):
    # Theano turns the filters around.
    weight = np.ascontiguousarray(given[name + ".weight"][:, :, ::-1, ::-1])
    channels, size = len(weight), weight.shape[2:]
    return layers.Conv2DLayer(layer, channels, size, W=weight, b=given[name + ".bias"], **how)


def dense(layer, name, nonlinearity):
    weight = np.ascontiguousarray(given[name + ".weight"].T)
    bias = given[name + ".bias"]
    return layers.DenseLayer(layer, len(bias), W=weight, b=bias, nonlinearity=nonlinearity)


# ---- lenet
def lenet(images):
    layer = layers.InputLayer((run.batch, 1, 28, 28), images)
    for name in ("conv1", "conv2"):
        layer = layers.MaxPool2DLayer(convolution(layer, name, nonlinearity=tanh), 2)
    return dense(dense(layer, "dense1", tanh), "dense2", softmax)


# ---- cnn
def cnn(images):
    layer = layers.InputLayer((run.batch, 3, 64, 64), images)
    for name in ("conv1", "conv2", "conv3", "conv4"):
        layer = convolution(layer, name, pad="same", nonlinearity=tanh)
        layer = layers.MaxPool2DLayer(layer, 2)
    return dense(dense(layer, "dense1", tanh), "dense2", softmax)


# ---- lstm
def lstm(images):
    def gate(number, **how):
        rows = slice(128 * number, 128 * (number + 1))
        by_input, recurrent = given["lstm.input"][rows].T, given["lstm.recurrent"][rows].T
        return layers.Gate(
            W_in=np.ascontiguousarray(by_input),
            W_hid=np.ascontiguousarray(recurrent),
            b=given["lstm.bias"][rows],
            W_cell=None,
            **how,
        )

    layer = layers.InputLayer((run.batch, 28, 28), images)
    layer = layers.LSTMLayer(
        layer,
        128,
        ingate=gate(0),
        forgetgate=gate(1),
        cell=gate(2, nonlinearity=tanh),
        outgate=gate(3),
        peepholes=False,
    )
    return dense(layers.SliceLayer(layer, -1, axis=1), "dense1", softmax)


# ---- all
images = T.tensor3("images") if run.network == "lstm" else T.tensor4("images")
labels = T.ivector("labels")
net = {"lenet": lenet, "cnn": cnn, "lstm": lstm}[run.network](images)
shares = layers.get_output(net)
loss = lasagne.objectives.categorical_crossentropy(shares, labels).mean()
weights = layers.get_all_params(net, trainable=True)
updates = lasagne.updates.momentum(loss, weights, run.rate, run.momentum)
step = theano.function([images, labels], loss, updates=updates)

for batches in run.epochs():
    run.epoch_done([step(x, y) for x, y in batches])

run.on(theano.config.device)
classify = theano.function([images], shares.argmax(axis=1))
run.finish([classify(x) for x in run.test_batches()], version=theano.__version__)
