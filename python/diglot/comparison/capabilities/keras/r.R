# Keras from R, through reticulate, as its own R package, keras3, does.
reticulate::use_python(commandArgs(TRUE)[[1]], required = TRUE)
keras <- reticulate::import("keras", convert = FALSE)
numbers <- c(0.5, -1.5, 2)
layer <- keras$layers$Dense(1L, activation = "tanh", kernel_initializer = "ones")
model <- keras$Sequential(list(keras$Input(list(3L)), layer))
found <- model$`__call__`(keras$ops$convert_to_tensor(list(numbers), dtype = "float32"))
value <- reticulate::py_to_r(keras$ops$convert_to_numpy(found)$tolist())
stopifnot(all.equal(unlist(value), tanh(sum(numbers)), tolerance = 1e-6))
