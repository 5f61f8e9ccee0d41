"""Keras 2: an LSTM."""

from keras import backend as K
from keras.layers import LSTM
from keras.models import Sequential
from problems import recurrence as given

shape = given.x.shape[1:]
model = Sequential([LSTM(given.units, recurrent_activation="sigmoid", input_shape=shape)])
model.set_weights([given.by_input.T, given.recurrent.T, given.bias])
gradient = K.gradients(K.sum(model.output), [model.input])
given.check(*K.function([model.input], [model.output] + gradient)([given.x]))
