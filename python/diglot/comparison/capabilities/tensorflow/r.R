# TensorFlow from R, through reticulate, as its own R packages do.
reticulate::use_python(commandArgs(TRUE)[[1]], required = TRUE)
numbers <- c(0.5, -1.5, 2)
tf <- reticulate::import("tensorflow", convert = FALSE)
x <- tf$Variable(numbers)
tape <- tf$GradientTape()
with(tape, {
  value <- tf$reduce_sum(tf$sin(x))
})
gradient <- reticulate::py_to_r(tape$gradient(value, x)$numpy()$tolist())
stopifnot(all.equal(unlist(gradient), cos(numbers), tolerance = 1e-6))
