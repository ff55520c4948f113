# Rules that come with tflint: names, types, descriptions, pins, things that nobody uses.
config {
  call_module_type = "local"
}

plugin "terraform" {
  enabled = true
  preset  = "all"
}
