package api_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/parleymesh/parley/api"
)

// A blocking query waits until the instances of a service change.
func ExampleClient_Health() {
	config, err := api.ConfigFromEnv(os.Getenv)
	if err != nil {
		log.Fatal(err)
	}
	client, err := api.New(config)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx := context.Background()
	options := &api.QueryOptions{}
	for {
		instances, meta, err := client.Health().Service(ctx, "web", nil, true, options)
		if err != nil {
			log.Fatal(err)
		}
		for _, i := range instances {
			fmt.Println(i.Node.Node, i.Service.Address, i.Service.Port)
		}
		options.WaitIndex = meta.LastIndex
	}
}

// A service with a check and a sidecar that makes "db" reachable on a local port.
func ExampleAgent_RegisterService() {
	client, err := api.New(api.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	err = client.Agent().RegisterService(context.Background(), &api.ServiceDefinition{
		Name:  "web",
		Port:  8080,
		Check: &api.CheckDefinition{HTTP: "http://127.0.0.1:8080/health", Interval: api.Duration(10e9)},
		Connect: &api.Connect{SidecarService: &api.ServiceDefinition{Proxy: &api.Proxy{
			Upstreams: []api.Upstream{{DestinationName: "db", LocalBindPort: 9191}},
		}}},
	}, true, nil)
	if err != nil {
		log.Fatal(err)
	}
}
