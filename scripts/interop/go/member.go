package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"ringmill.test/franz/lines"

	"github.com/twmb/franz-go/pkg/kgo"
)

// member is franz-go as one member of a group; args are those of ../python/member.py after the client's name.
func member(args []string) error {
	bootstrap, group, topic, protocol, assignor, instance := args[0], args[1], args[2], args[3], args[4], args[5]
	sessionMs, err := strconv.Atoi(args[6])
	if err != nil {
		return err
	}
	balancers := map[string]kgo.GroupBalancer{
		"-": kgo.RangeBalancer(), "range": kgo.RangeBalancer(), "roundrobin": kgo.RoundRobinBalancer(),
		"sticky": kgo.StickyBalancer(), "uniform": kgo.StickyBalancer(), "cooperative-sticky": kgo.CooperativeStickyBalancer(),
	}
	balancer, ok := balancers[assignor]
	if !ok {
		return fmt.Errorf("no balancer %s", assignor)
	}
	told := func(verb string) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, client *kgo.Client, partitions map[string][]int32) {
			_, generation := client.GroupMetadata()
			lines.Partitions(verb, generation, partitions[topic])
		}
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(bootstrap), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.Balancers(balancer),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(time.Duration(sessionMs) * time.Millisecond), kgo.HeartbeatInterval(500 * time.Millisecond),
		kgo.RebalanceTimeout(10 * time.Second), kgo.FetchMinBytes(10_000),
		kgo.FetchMaxWait(100 * time.Millisecond),
		kgo.OnPartitionsAssigned(told("assigned")), kgo.OnPartitionsRevoked(told("revoked")), kgo.OnPartitionsLost(told("lost")),
	}
	if protocol == "consumer" {
		options = append(options, kgo.ServerSideBalancer())
	}
	if instance != "-" {
		options = append(options, kgo.InstanceID(instance))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	lines.UntilInputCloses(cancel)
	for ctx.Err() == nil {
		step(ctx, client)
		client.AllowRebalance()
	}
	client.CloseAllowingRebalance()
	lines.Say("left")
	return nil
}

// step reads what is there, says so, and commits it: no rebalance takes place meanwhile.
func step(ctx context.Context, client *kgo.Client) {
	fetches := client.PollRecords(ctx, 500)
	fetches.EachError(func(_ string, _ int32, err error) {
		if !errors.Is(err, context.Canceled) {
			lines.Trouble(err)
		}
	})
	var all []*kgo.Record
	fetches.EachPartition(func(some kgo.FetchTopicPartition) {
		offsets := make([]int64, 0, len(some.Records))
		for _, record := range some.Records {
			offsets = append(offsets, record.Offset)
		}
		if len(offsets) > 0 {
			lines.Records(some.Partition, offsets)
			all = append(all, some.Records[len(offsets)-1])
		}
	})
	if len(all) == 0 {
		return
	}
	if err := client.CommitRecords(context.Background(), all...); err != nil {
		lines.Trouble(err)
		return
	}
	for _, last := range all {
		lines.Say("committed", last.Partition, last.Offset+1)
	}
}
