// Command refract is an edge reverse proxy that swaps tagged regions of an
// unmodified web app's pages for the visitors in a segment, inside a
// randomised test with a guardrail.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Exit statuses.
const (
	exitOK      = 0
	exitRefused = 1 // with reasons on stderr
	exitUsage   = 2
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, time.Now))
}

// run is the whole program but for the process: its tests call it with a clock
// of their own.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, now func() time.Time) int {
	root := newRoot(now)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage) || strings.HasPrefix(err.Error(), "unknown command"):
		fmt.Fprintf(stderr, "refract: %v\nhint: refract --help lists the commands, refract COMMAND --help the flags\n", err)
		return exitUsage
	default:
		fmt.Fprintf(stderr, "refract: %v\n", err)
		return exitRefused
	}
}

func newRoot(now func() time.Time) *cobra.Command {
	root := &cobra.Command{
		Use:           "refract",
		Short:         "Swap tagged regions of an unmodified web app for the visitors in a segment, measured and reversible",
		Version:       buildOf().String(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		newServeCommand(now),
		newDemoCommand(),
		newInitCommand(),
		newCheckCommand(now),
		newApproveCommand(now),
		newSchemaCommand(),
		newReloadCommand(), newLedgerCommand(), newStateCommand(),
		newRollbackCommand(),
		newResumeCommand(), newReceiptCommand(), newDrillCommand(),
		newStatusCommand(),
		newReportCommand(),
		newExportCommand(now),
		newExplainCommand(),
		newCohortCommand(),
		newHealthCommand(),
		newSurfacesCommand(),
		newRewriteCommand(),
		newStatsCommand(),
		newVerifyCommand(),
		newSimulateCommand(now),
	)
	return root
}

// usageError is a mistake in how the command was called.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usageErrorf(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// usage makes the errors of an argument check usage errors.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}
