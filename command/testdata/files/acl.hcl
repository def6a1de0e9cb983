data_dir = "/var/lib/parley"
acl {
  enabled = true
}
