// franz-go as an interoperability client.
//
//	franz produce BOOTSTRAP TOPIC CODEC   < records
//	franz consume BOOTSTRAP TOPIC         > records
//	franz member BOOTSTRAP GROUP TOPIC PROTOCOL ASSIGNOR INSTANCE SESSION_MS
//
// Lines are those of ../python/client.py, and of ../python/member.py.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const deadline = 60 * time.Second

func main() {
	if len(os.Args) < 4 {
		fail("usage: franz produce|consume BOOTSTRAP TOPIC [CODEC]")
	}
	if os.Args[1] == "member" && len(os.Args) == 9 {
		if err := member(os.Args[2:]); err != nil {
			fail(err.Error())
		}
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	bootstrap, topic := os.Args[2], os.Args[3]
	var err error
	switch os.Args[1] {
	case "produce":
		err = produce(ctx, bootstrap, topic, os.Args[4])
	case "consume":
		err = consume(ctx, bootstrap, topic)
	default:
		err = fmt.Errorf("unknown verb %s", os.Args[1])
	}
	if err != nil {
		fail(err.Error())
	}
}

func fail(reason string) {
	fmt.Fprintln(os.Stderr, reason)
	os.Exit(1)
}

func codecs(name string) kgo.CompressionCodec {
	return map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}[name]
}

// produce writes idempotently, which is what franz-go does unless told otherwise.
func produce(ctx context.Context, bootstrap, topic, codec string) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(bootstrap), kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(codecs(codec)),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(20*time.Millisecond),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	failed := make(chan error, 1)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		record, err := parse(lines.Text())
		if err != nil {
			return err
		}
		client.Produce(ctx, record, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	default:
		return lines.Err()
	}
}

func parse(line string) (*kgo.Record, error) {
	columns := strings.Split(line, "\t")
	if len(columns) != 5 {
		return nil, fmt.Errorf("%d columns in %q", len(columns), line)
	}
	partition, _ := strconv.Atoi(columns[0])
	millis, _ := strconv.ParseInt(columns[1], 10, 64)
	record := &kgo.Record{
		Partition: int32(partition), Timestamp: time.UnixMilli(millis), Key: unpack(columns[2]), Value: unpack(columns[3]),
	}
	if columns[4] != "." {
		for _, pair := range strings.Split(columns[4], ";") {
			name, value, _ := strings.Cut(pair, "=")
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: string(unpack(name)), Value: unpack(value)})
		}
	}
	return record, nil
}

func unpack(text string) []byte {
	if text == "-" {
		return nil
	}
	bytes, err := hex.DecodeString(text[1:])
	if err != nil {
		fail(err.Error())
	}
	return bytes
}

func pack(bytes []byte) string {
	if bytes == nil {
		return "-"
	}
	return "x" + hex.EncodeToString(bytes)
}

// ends asks for the end offset of every partition of the topic.
func ends(ctx context.Context, bootstrap, topic string) (map[int32]int64, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ask := kmsg.NewPtrMetadataRequest()
	name := kmsg.NewMetadataRequestTopic()
	name.Topic = kmsg.StringPtr(topic)
	ask.Topics = append(ask.Topics, name)
	metadata, err := ask.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	wanted := kmsg.NewListOffsetsRequestTopic()
	wanted.Topic = topic
	for _, partition := range metadata.Topics[0].Partitions {
		entry := kmsg.NewListOffsetsRequestTopicPartition()
		entry.Partition, entry.Timestamp = partition.Partition, -1
		wanted.Partitions = append(wanted.Partitions, entry)
	}
	list := kmsg.NewPtrListOffsetsRequest()
	list.ReplicaID = -1
	list.Topics = append(list.Topics, wanted)
	response, err := list.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	found := map[int32]int64{}
	for _, partition := range response.Topics[0].Partitions {
		if err := kerr.ErrorForCode(partition.ErrorCode); err != nil {
			return nil, err
		}
		if partition.Offset > 0 {
			found[partition.Partition] = partition.Offset
		}
	}
	return found, nil
}

func consume(ctx context.Context, bootstrap, topic string) error {
	left, err := ends(ctx, bootstrap, topic)
	if err != nil {
		return err
	}
	from := map[int32]kgo.Offset{}
	for partition := range left {
		from[partition] = kgo.NewOffset().AtStart()
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(bootstrap), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
		kgo.FetchMaxWait(100*time.Millisecond),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("%w, partitions left: %v", err, left)
		}
		fetches.EachRecord(func(record *kgo.Record) {
			fmt.Fprintln(out, format(record))
			if record.Offset+1 >= left[record.Partition] {
				delete(left, record.Partition)
			}
		})
	}
	return nil
}

func format(record *kgo.Record) string {
	headers := make([]string, 0, len(record.Headers))
	for _, header := range record.Headers {
		headers = append(headers, pack([]byte(header.Key))+"="+pack(header.Value))
	}
	joined := strings.Join(headers, ";")
	if len(headers) == 0 {
		joined = "."
	}
	return fmt.Sprintf("%d\t%d\t%d\t%s\t%s\t%s", record.Partition, record.Offset, record.Timestamp.UnixMilli(),
		pack(record.Key), pack(record.Value), joined)
}
