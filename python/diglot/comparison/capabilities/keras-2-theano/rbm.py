"""Keras 2: a restricted Boltzmann machine by contrastive divergence, written out."""

from keras import backend as K
from problems import rbm as given

W, h_bias = K.variable(given.weights), K.zeros((given.hidden,))
v_bias = K.zeros((given.visible,))


def drawn(shares):
    uniform = K.random_uniform(K.shape(shares), seed=None)
    return K.cast(K.less(uniform, shares), "float32")


v0 = K.placeholder((None, given.visible))
p0 = K.sigmoid(K.dot(v0, K.transpose(W)) + h_bias)
v1 = drawn(K.sigmoid(K.dot(drawn(p0), W) + v_bias))
p1 = K.sigmoid(K.dot(v1, K.transpose(W)) + h_bias)
change = K.dot(K.transpose(p0), v0) - K.dot(K.transpose(p1), v1)
rows = K.cast(K.shape(v0)[0], "float32")
updates = [
    K.update_add(W, given.rate * change / rows),
    K.update_add(h_bias, given.rate * K.mean(p0 - p1, axis=0)),
    K.update_add(v_bias, given.rate * K.mean(v0 - v1, axis=0)),
]
step = K.function([v0], [], updates=updates)
for batch in given.batches():
    step([batch])
given.check(*map(K.get_value, (W, h_bias, v_bias)))
