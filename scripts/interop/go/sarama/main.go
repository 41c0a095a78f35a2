// sarama as one member of a consumer group.
//
//	sarama BOOTSTRAP GROUP TOPIC PROTOCOL ASSIGNOR INSTANCE SESSION_MS
//
// Arguments and lines are those of ../../python/member.py, without "committed": a commit of sarama does not say how it
// ended. A partition is owned from the start of its claim to the end of it.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"ringmill.test/franz/lines"

	"github.com/IBM/sarama"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 7 || args[3] != "classic" {
		return fmt.Errorf("usage: sarama BOOTSTRAP GROUP TOPIC classic ASSIGNOR INSTANCE SESSION_MS")
	}
	config, err := config(args[4], args[5], args[6])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	lines.UntilInputCloses(cancel)
	group, err := sarama.NewConsumerGroup([]string{args[0]}, args[1], config)
	if err != nil {
		return err
	}
	go func() {
		for err := range group.Errors() {
			lines.Trouble(err)
		}
	}()
	for ctx.Err() == nil {
		if err := group.Consume(ctx, []string{args[2]}, handler{}); err != nil {
			lines.Trouble(err)
			time.Sleep(100 * time.Millisecond)
		}
	}
	if err := group.Close(); err != nil {
		return err
	}
	lines.Say("left")
	return nil
}

func config(assignor, instance, sessionMs string) (*sarama.Config, error) {
	millis, err := strconv.Atoi(sessionMs)
	if err != nil {
		return nil, err
	}
	strategies := map[string]sarama.BalanceStrategy{
		"-": sarama.NewBalanceStrategyRange(), "range": sarama.NewBalanceStrategyRange(),
		"roundrobin": sarama.NewBalanceStrategyRoundRobin(), "sticky": sarama.NewBalanceStrategySticky(),
	}
	strategy, ok := strategies[assignor]
	if !ok {
		return nil, fmt.Errorf("no strategy %s", assignor)
	}
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.Consumer.Group.Session.Timeout = time.Duration(millis) * time.Millisecond
	config.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	config.Consumer.Group.Rebalance.Timeout = 10 * time.Second
	config.Consumer.Group.Rebalance.Retry.Max = 50
	config.Consumer.Group.Rebalance.Retry.Backoff = 200 * time.Millisecond
	config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategy}
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Fetch.Min = 10_000
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	config.Consumer.Return.Errors = true
	config.Metadata.Retry.Max = 100
	if instance != "-" {
		config.Consumer.Group.InstanceId = instance
	}
	return config, nil
}

type handler struct{}

func (handler) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (handler) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	owned := []int32{claim.Partition()}
	lines.Partitions("assigned", session.GenerationID(), owned)
	defer lines.Partitions("revoked", session.GenerationID(), owned)
	for message := range claim.Messages() {
		offsets := []int64{message.Offset}
		for more := len(claim.Messages()); more > 0; more-- {
			if next, ok := <-claim.Messages(); ok {
				message = next
				offsets = append(offsets, next.Offset)
			}
		}
		lines.Records(claim.Partition(), offsets)
		session.MarkMessage(message, "")
		session.Commit()
		if session.Context().Err() != nil {
			return nil
		}
	}
	return nil
}
