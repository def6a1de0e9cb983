check {
  name = "disk"
  ttl  = "30s"
}
