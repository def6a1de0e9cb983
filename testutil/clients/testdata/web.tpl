title {{key "web/title"}}
{{range ls "web/limits"}}{{.Key}} = {{.Value}}
{{end}}colour is {{keyOrDefault "web/colour" "none"}}
{{range service "web"}}{{.ID}} {{.Address}}:{{.Port}} {{.ServiceMeta.zone}} {{.Status}}
{{end}}tagged {{len (service "blue.web")}}, all {{len (service "web|any")}}, {{range nodes}}node {{.Node}}{{end}}
services:{{range services}} {{.Name}}{{end}}
