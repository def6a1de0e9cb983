package command

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/api"
)

func operatorCommand() *cli.Command {
	return &cli.Command{Name: "operator", Usage: "tools for those who run the servers", Category: aboutCluster, Subcommands: []*cli.Command{
		{Name: "raft", Usage: "the replication among the servers", Subcommands: []*cli.Command{
			{Name: "list-peers", Usage: "list the servers that replicate the state", Flags: clientFlags(formatFlag()), Action: withClient(listPeers)},
			{
				Name: "remove-peer", Usage: "take a server that does not come back out of the replication",
				Description: "One that is alive is taken in again: have it leave instead (parley leave).",
				Flags: clientFlags(
					&cli.StringFlag{Name: "id", Usage: "the server's id"},
					&cli.StringFlag{Name: "address", Usage: "or its address, host:port"},
					formatFlag(),
				),
				Action: withClient(removePeer),
			},
			{
				Name: "transfer-leader", Usage: "have the leader hand over to another server",
				Flags:  clientFlags(&cli.StringFlag{Name: "id", Usage: "to the server of this id, to the one that suits best if not given"}, formatFlag()),
				Action: withClient(transferLeader),
			},
		}},
		autopilotCommand(), usageCommand(), recoverCommand(),
	}}
}

func removePeer(c *cli.Context, client *api.Client) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	id, address := c.String("id"), c.String("address")
	if (id == "") == (address == "") {
		return failed(errors.New("one of -id and -address names the server"), "removing peer")
	}
	if err := client.Operator().RemovePeer(c.Context, id, address, nil); err != nil {
		return failed(err, "removing peer")
	}
	if id == "" {
		return done(c, fields{"Address": address}, "Removed peer with address %q", address)
	}
	return done(c, fields{"ID": id}, "Removed peer with id %q", id)
}

func transferLeader(c *cli.Context, client *api.Client) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	if err := client.Operator().TransferLeader(c.Context, c.String("id"), nil); err != nil {
		return failed(err, "transferring leadership")
	}
	return done(c, fields{"Success": true}, "Success")
}

func listPeers(c *cli.Context, client *api.Client) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	raft, _, err := client.Operator().RaftConfiguration(c.Context, query(c))
	if err != nil {
		return failed(err, "getting peers")
	}
	return show(c, raft, func(w io.Writer) { showPeers(w, raft) })
}

func showPeers(w io.Writer, raft api.RaftConfiguration) {
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
		if s.Status != "" {
			state = s.Status // it does not follow: it is not alive
		}
		switch {
		case s.Leader:
			state = "leader"
		case s.LastIndex > 0 && leader > 0:
			trails = fmt.Sprintf("%d commits", leader-min(leader, s.LastIndex))
		}
		rows = append(rows, []string{s.Node, s.ID, s.Address, state, strconv.FormatBool(s.Voter), s.ProtocolVersion, index, trails})
	}
	table(w, []string{"Node", "ID", "Address", "State", "Voter", "RaftProtocol", "Commit Index", "Trails Leader By"}, rows)
}
