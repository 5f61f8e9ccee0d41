test_that("a check prints one line for each requirement, with its fix", {
  rows <- rbind(
    diglot:::setup_row("R", "4.4.0", TRUE, "install a newer R"),
    diglot:::setup_row("Python", "none", FALSE, "install_diglot()")
  )
  withr::local_options(cli.unicode = FALSE)
  expect_output(
    print(tibble::new_tibble(rows, class = "diglot_setup", nrow = 2L)),
    "ok R: 4.4.0\nno Python: none\n    fix: install_diglot()",
    fixed = TRUE
  )
  expect_identical(rows$fix, c("", "install_diglot()"))
})

test_that("check_setup() and devices() see this machine", {
  skip_if_no_diglot()
  setup <- check_setup()
  expect_identical(setup$found[setup$requirement == "R"], as.character(getRversion()))
  expect_true(all(c("reticulate", "Python", "numpy", "MXNet") %in% setup$requirement))
  expect_true(all(setup$ok[!setup$optional]))
  expect_identical(devices()$device[1L], "cpu")
  expect_true(devices()$usable[1L])
})

test_that("install_diglot() refuses a machine without a fitting Python", {
  withr::local_path(withr::local_tempdir(), action = "replace")
  expect_error(install_diglot(), "3.11", class = "diglot_error_missing_package")
})
