"""Keras: an LSTM; gradients are left to the backend, so that a layer of weights learns it here."""

import keras
from problems import recurrence as given


class Learnt(keras.layers.Layer):
    """The sequence, as weights that learn."""

    def build(self, shape):
        self.x = self.add_weight(shape=given.x.shape[1:], initializer="zeros")

    def call(self, inputs):
        return inputs + self.x


lstm = keras.layers.LSTM(given.units)
model = keras.Sequential([keras.Input(given.x.shape[1:]), Learnt(), lstm])
lstm.set_weights([given.by_input.T, given.recurrent.T, given.bias])
state = model.predict(given.x, verbose=0)
# One step of size 1 on the sum of the state takes the gradient off: a sequence at a time.
by_x = []
for row in given.x:
    model.layers[0].set_weights([0 * row])
    model.compile(keras.optimizers.SGD(1.0), lambda one, y: keras.ops.sum(y))
    lstm.trainable = False
    model.train_on_batch(row[None], state[:1])
    by_x.append(-model.layers[0].get_weights()[0])
given.check(state, keras.ops.stack(by_x))
