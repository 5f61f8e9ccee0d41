# TensorFlow 0.12 from R, through reticulate.
reticulate::use_python(commandArgs(TRUE)[[1]], required = TRUE)
numbers <- c(0.5, -1.5, 2)
tf <- reticulate::import("tensorflow", convert = FALSE)
x <- tf$constant(numbers)
slope <- tf$gradients(tf$reduce_sum(tf$sin(x)), x)
gradient <- reticulate::py_to_r(tf$Session()$run(slope))
stopifnot(all.equal(as.vector(gradient[[1]]), cos(numbers), tolerance = 1e-6))
