test_that("settings have Python's names and defaults", {
  skip_if_no_diglot()
  theirs <- diglot:::call_bridge("hog_defaults")
  ours <- diglot:::hog_setting_defaults()
  expect_setequal(names(ours), names(theirs))
  for (name in names(ours)) {
    expect_equal(ours[[name]], unlist(theirs[[name]]), info = name)
  }
})

hog <- function(...) hog_classifier(..., C = 0.1)

test_that("all ways in lead to the same fit", {
  skip_if_no_diglot()
  data <- planted()
  frame <- planted_tibble()
  prints <- c(
    formula = fingerprint(hog(label ~ image, data = frame)),
    frame = fingerprint(hog(frame["image"], frame$label)),
    array = fingerprint(hog(data$image, data$label)),
    list = fingerprint(hog(frame$image, data$label)),
    raw = fingerprint(hog(planted(type = "raw")$image, data$label))
  )
  expect_length(unique(prints), 1L)
})

test_that("it predicts and is assessed as a network is", {
  skip_if_no_diglot()
  data <- planted_tibble()
  fit <- hog_classifier(label ~ image, data)
  expect_s3_class(fit, c("hog_classifier", "image_classifier", "diglot_model"), exact = TRUE)
  expect_identical(predict(fit, data)$.pred_class, data$label)
  prob <- predict(fit, data, type = "prob")
  expect_named(prob, c(".pred_two", ".pred_ten"))
  expect_true(all(prob$.pred_two[data$label == "two"] > 0.5))
  expect_identical(nrow(predict(fit, data[0, ])), 0L)
  table <- evaluate(fit, data)
  expect_equal(table$estimate[table$metric == "accuracy"], 1)
  expect_named(augment(fit, data), c("image", "label", ".pred_class", ".pred_two", ".pred_ten"))
})

test_that("weights and class weights count", {
  skip_if_no_diglot()
  data <- planted_tibble()
  plain <- fingerprint(hog(label ~ image, data))
  weight <- rep(1:2, 20)
  expect_false(fingerprint(hog(label ~ image, data, weights = weight)) == plain)
  expect_false(fingerprint(hog(label ~ image, data, class_weight = c(ten = 3))) == plain)
  expect_identical(
    fingerprint(hog(label ~ image, data, class_weight = c(ten = 2))),
    fingerprint(hog(label ~ image, data, weights = weight))
  )
})

test_that("it says what it is", {
  skip_if_no_diglot()
  fit <- hog_classifier(label ~ image, planted_tibble())
  expect_output(print(fit), "without a network.*cells of 2 x 2.*two, ten.*chosen among")
  expect_output(print(summary(fit)), "Penalties")
  path <- tidy(fit)
  expect_named(path, c("C", "log_loss", "chosen"))
  expect_identical(sum(path$chosen), 1L)
  expect_equal(path$log_loss[path$chosen], min(path$log_loss))
  row <- glance(fit)
  expect_equal(row$C, path$C[path$chosen])
  expect_identical(row$images, 40L)
  expect_identical(row$seed, 0L)
  pdf(NULL)
  withr::defer(dev.off())
  expect_identical(plot(fit), fit)
  expect_error(plot(hog(label ~ image, planted_tibble())), "given", class = "diglot_error_input")
})

test_that("it is saved and loaded", {
  skip_if_no_diglot()
  data <- planted_tibble()
  fit <- hog(factor(label, levels(label), ordered = TRUE) ~ image, data)
  file <- withr::local_tempfile(fileext = ".safetensors")
  again <- load_model(save_model(fit, file))
  expect_s3_class(again, "hog_classifier")
  expect_true(again$ordered)
  expect_identical(fingerprint(again), fingerprint(fit))
  expect_equal(predict(again, data["image"]), predict(fit, data))
  saved <- withr::local_tempfile()
  saveRDS(fit, saved)
  revived <- readRDS(saved)
  expect_equal(predict(revived, data), predict(fit, data))
  from_python <- python_says(c(
    "import diglot",
    sprintf("print(diglot.load(r'%s').fingerprint())", file)
  ))
  expect_identical(from_python, fingerprint(fit))
})

test_that("what needs a network says so", {
  skip_if_no_diglot()
  data <- planted_tibble()
  fit <- hog(label ~ image, data)
  for (call in list(
    function() update(fit, data), function() fine_tune(fit, label ~ image, data),
    function() embed(fit, data), function() calibrate(fit, data),
    function() conformalize(fit, data), function() explain(fit, data), function() coef(fit)
  )) {
    expect_error(call(), "no network", class = "diglot_error_input")
  }
  expect_error(predict(fit, data, type = "set"), "prob", class = "diglot_error_input")
  expect_error(
    hog_classifier(label ~ image, data, epochs = 3), "epochs",
    class = "diglot_error_input"
  )
  expect_error(hog_classifier(label ~ image, data, cell = 9), "cell", class = "diglot_error_input")
})
