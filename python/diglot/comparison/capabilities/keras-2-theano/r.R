# Keras 2 from R, through reticulate, as its own R package, keras, did.
reticulate::use_python(commandArgs(TRUE)[[1]], required = TRUE)
# Inside R, an environment of an old Python does not find the headers that compilers need.
sysconfig <- reticulate::import("sysconfig")
Sys.setenv(CPATH = sysconfig$get_config_var("INCLUDEPY"))
keras <- reticulate::import("keras")
numbers <- c(0.5, -1.5, 2)
layer <- keras$layers$Dense(
  1L,
  activation = "tanh", kernel_initializer = "ones", input_shape = list(3L)
)
model <- keras$models$Sequential(list(layer))
value <- model$predict(matrix(numbers, 1L))
stopifnot(all.equal(as.vector(value), tanh(sum(numbers)), tolerance = 1e-6))
