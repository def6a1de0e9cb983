package command

import (
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/api"
)

func operatorCommand() *cli.Command {
	return &cli.Command{Name: "operator", Usage: "tools for those who run the servers", Category: aboutCluster, Subcommands: []*cli.Command{
		{Name: "raft", Usage: "the replication among the servers", Subcommands: []*cli.Command{
			{Name: "list-peers", Usage: "list the servers that replicate the state", Flags: clientFlags(), Action: withClient(listPeers)},
		}},
	}}
}

func listPeers(c *cli.Context, client *api.Client) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	raft, _, err := client.Operator().RaftConfiguration(c.Context, query(c))
	if err != nil {
		return failed(err, "getting peers")
	}
	leader := uint64(0)
	for _, s := range raft.Servers {
		if s.Leader {
			leader = s.LastIndex
		}
	}
	var rows [][]string
	for _, s := range raft.Servers {
		state, index, trails := "follower", "-", "-"
		if s.LastIndex > 0 {
			index = strconv.FormatUint(s.LastIndex, 10)
		}
		switch {
		case s.Leader:
			state = "leader"
		case s.LastIndex > 0 && leader > 0:
			trails = fmt.Sprintf("%d commits", leader-min(leader, s.LastIndex))
		}
		rows = append(rows, []string{s.Node, s.ID, s.Address, state, strconv.FormatBool(s.Voter), s.ProtocolVersion, index, trails})
	}
	table(c.App.Writer, []string{"Node", "ID", "Address", "State", "Voter", "RaftProtocol", "Commit Index", "Trails Leader By"}, rows)
	return nil
}
