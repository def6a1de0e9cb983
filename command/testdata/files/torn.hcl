data_dir = "/var/lib/parley"
encrypt = 