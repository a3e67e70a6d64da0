//! `data.stats` of an answer. Its only figures are those of the summary: they tell "no logs" from "no matches".

use serde_json::{Value, json};

/// What a query has read.
#[derive(Debug, Default)]
pub(super) struct Read {
    lines: usize,
    bytes: usize,
}

impl Read {
    pub(super) fn add(&mut self, line: &str) {
        self.lines += 1;
        self.bytes += line.len();
    }
}

pub(super) fn of(read: &Read, returned: usize, matched: usize) -> Value {
    let store = || {
        json!({
            "totalChunksRef": 0, "totalChunksDownloaded": 0, "chunksDownloadTime": 0,
            "queryReferencedStructuredMetadata": false, "queryUsedV2Engine": false,
            "chunk": {
                "headChunkBytes": 0, "headChunkLines": 0, "decompressedBytes": 0, "decompressedLines": 0,
                "compressedBytes": 0, "totalDuplicates": 0, "postFilterLines": 0,
                "headChunkStructuredMetadataBytes": 0, "decompressedStructuredMetadataBytes": 0,
            },
            "chunkRefsFetchTime": 0, "congestionControlLatency": 0, "pipelineWrapperFilteredLines": 0,
            "dataobj": {
                "prePredicateDecompressedRows": 0, "prePredicateDecompressedBytes": 0,
                "prePredicateDecompressedStructuredMetadataBytes": 0, "postPredicateRows": 0,
                "postPredicateDecompressedBytes": 0, "postPredicateStructuredMetadataBytes": 0, "postFilterRows": 0,
                "pagesScanned": 0, "pagesDownloaded": 0, "pagesDownloadedBytes": 0, "pageBatches": 0,
                "totalRowsAvailable": 0, "totalPageDownloadTime": 0, "wireBytesTransferred": 0,
            },
        })
    };
    let cache = json!({
        "entriesFound": 0, "entriesRequested": 0, "entriesStored": 0, "bytesReceived": 0, "bytesSent": 0,
        "requests": 0, "downloadTime": 0, "queryLengthServed": 0,
    });
    let caches = [
        "chunk",
        "index",
        "result",
        "statsResult",
        "volumeResult",
        "seriesResult",
        "labelResult",
        "instantMetricResult",
        "logResult",
        "taskResult",
    ];
    let caches: serde_json::Map<String, Value> =
        caches.iter().map(|name| ((*name).to_owned(), cache.clone())).collect();
    json!({
        "summary": {
            "bytesProcessedPerSecond": read.bytes * 100, "linesProcessedPerSecond": read.lines * 100,
            "totalBytesProcessed": read.bytes, "totalLinesProcessed": read.lines, "execTime": 0.01,
            "queueTime": 0.0001, "subqueries": 0, "totalEntriesReturned": returned, "splits": 1, "shards": 1,
            "totalPostFilterLines": matched, "totalStructuredMetadataBytesProcessed": 0,
        },
        "querier": {"store": store(), "querierExecTime": 0},
        "ingester": {
            "totalReached": 1, "totalChunksMatched": 0, "totalBatches": 0, "totalLinesSent": matched,
            "store": store(), "recvWaitTime": 0,
        },
        "cache": caches,
        "index": {
            "totalChunks": 0, "postFilterChunks": 0, "shardsDuration": 0, "usedBloomFilters": false,
            "totalStreams": 0, "chunkRefsLookupTime": 0, "bloomFilterTime": 0,
        },
    })
}
