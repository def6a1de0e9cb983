package command

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"
	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/agent/config"
	"github.com/parleymesh/parley/agent/datadir"
	"github.com/parleymesh/parley/server"
)

// consent is what somebody types who has read what will be lost.
const consent = "recover"

func recoverCommand() *cli.Command {
	return &cli.Command{
		Name: "recover", Usage: "bring a cluster back whose servers are lost for good but for this one",
		Description: "It runs on the surviving server, whose agent is stopped, and talks to nobody. It says what would be lost, asks, and makes\n" +
			"this server the only one of its cluster; it is carried out when the agent starts the next time. With several survivors,\n" +
			"-dry-run on each tells which one has most: recover that one, and give the others empty data directories.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "data-dir", Usage: "the data directory of this server"},
			&cli.StringFlag{Name: "node-id", Usage: "this server's id, if it is configured and not kept in the data directory"},
			&cli.StringFlag{Name: "address", Usage: "host:port of this server's RPC, if it has changed"},
			&cli.BoolFlag{Name: "dry-run", Usage: "only say what would be lost"},
			&cli.BoolFlag{Name: "yes", Usage: "do not ask"},
			formatFlag(),
		},
		Action: recoverServer,
	}
}

// recovery is what would be done, and to what.
type recovery struct {
	DataDir             string
	ID, Address         string
	LastIndex, LastTerm uint64
	LastTime            *time.Time `json:",omitempty"`
	KnownCommitted      uint64
	Servers             []recoveredServer // of which the cluster was, as far as this one knows
}

type recoveredServer struct {
	ID, Address string
	Voter       bool
	Stays       bool
}

func recoverServer(c *cli.Context) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	path := c.String("data-dir")
	if path == "" {
		return complain("-data-dir is missing: the data directory of the surviving server")
	}
	// Where there is none, none is to be made.
	if _, err := os.Stat(path); err != nil {
		return failed(err, "reading the data directory")
	}
	dir, err := datadir.Open(path)
	if err != nil {
		return failed(err, "opening the data directory (the agent must be stopped)")
	}
	defer dir.Close()
	r, err := survey(c, dir)
	if err != nil {
		return failed(err, "recovering")
	}
	if c.Bool("dry-run") {
		return show(c, r, r.tell)
	}
	if !c.Bool("yes") {
		r.tell(c.App.ErrWriter)
		if err := ask(c.App.Reader, c.App.ErrWriter); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent([]server.Peer{{ID: r.ID, Address: r.Address}}, "", "  ")
	if err != nil {
		return err
	}
	if err := dir.WriteFile(server.PeersFile, append(text, '\n')); err != nil {
		return failed(err, "recovering")
	}
	return done(c, r, "Wrote %s. Start the agent now: it leads alone, with what it has. Then add servers with empty data directories.", dir.Path(server.PeersFile))
}

func survey(c *cli.Context, dir *datadir.Dir) (*recovery, error) {
	v, err := server.Survey(dir.Path())
	if err != nil {
		return nil, err
	}
	id := strings.ToLower(c.String("node-id"))
	if id == "" {
		if id, err = config.KeptNodeID(dir); err != nil {
			return nil, err
		}
	}
	r := &recovery{DataDir: dir.Path(), ID: id, Address: c.String("address"), LastIndex: v.LastIndex, LastTerm: v.LastTerm, KnownCommitted: v.Applied}
	if !v.LastTime.IsZero() {
		r.LastTime = &v.LastTime
	}
	for _, s := range v.Servers {
		here := s.ID == raft.ServerID(id)
		if here {
			r.Address = cmp.Or(r.Address, string(s.Address))
		}
		r.Servers = append(r.Servers, recoveredServer{ID: string(s.ID), Address: string(s.Address), Voter: s.Suffrage == raft.Voter, Stays: here})
	}
	if !slices.ContainsFunc(r.Servers, func(s recoveredServer) bool { return s.Stays }) {
		return nil, fmt.Errorf("node %s is none of the servers that its own log names: put the former id back into the file node-id, or give it as -node-id", id)
	}
	return r, nil
}

// tell says what would be lost.
func (r *recovery) tell(w io.Writer) {
	fmt.Fprintf(w, "This server (%s, %s) has the log up to index %d, term %d", r.ID, r.Address, r.LastIndex, r.LastTerm)
	if r.LastTime != nil {
		fmt.Fprintf(w, ", appended at %s", r.LastTime.Local().Format(time.RFC3339))
	}
	fmt.Fprintf(w, ".\nIt knows of %d server(s):\n\n", len(r.Servers))
	rows := make([][]string, 0, len(r.Servers))
	for _, s := range r.Servers {
		fate := "is left out"
		if s.Stays {
			fate = "stays, alone"
		}
		rows = append(rows, []string{"  " + s.ID, s.Address, map[bool]string{true: "voter", false: "non-voter"}[s.Voter], fate})
	}
	columns(w, 2, rows)
	fmt.Fprintf(w, `
What is lost: all that the others have acknowledged after index %d and this server never got.
What is kept: all up to there. Of what follows index %d, some may never have been acknowledged to anybody; it counts from now on.

The others must not come back with their data: two of them could elect a leader of their own. Move their data directories
away first. If another server survives as well, run this with -dry-run there: the higher term has more, and at equal terms the higher index.
If most of the servers can be started again, do that instead: nothing is lost then.
`, r.LastIndex, r.KnownCommitted)
}

// ask wants the consent of a person.
func ask(in io.Reader, out io.Writer) error {
	fmt.Fprintf(out, "\nType %q to go on: ", consent)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return failed(err, "recovering")
	}
	if strings.TrimSpace(answer) != consent {
		return complain("Not recovered, nothing was changed. A script answers with -yes.")
	}
	return nil
}
