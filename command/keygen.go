package command

import (
	"crypto/rand"
	"encoding/base64"

	"github.com/urfave/cli/v2"
)

// gossipKey is the length of a key for AES-256, in bytes.
const gossipKey = 32

func keygenCommand() *cli.Command {
	return &cli.Command{
		Name: "keygen", Usage: "make a key for the encryption of gossip", Category: aboutThis,
		Flags: []cli.Flag{formatFlag()},
		Action: func(c *cli.Context) error {
			if err := takes(c, 0, 0); err != nil {
				return err
			}
			key := make([]byte, gossipKey)
			rand.Read(key) // it never fails
			text := base64.StdEncoding.EncodeToString(key)
			return done(c, fields{"Key": text}, "%s", text)
		},
	}
}
