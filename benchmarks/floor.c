/*
 * The floor under reprodiff's times: the least work a correct answer can take, without any explanation.
 *
 *   floor LEFT RIGHT     two files: map both; gzip is decoded, each side on its own thread; compare block by block
 *                        two directories: list both (a thread each), compare file by file on two threads
 *   floor --gzip IN OUT  write IN as gzip, level 6, on two threads as pigz does (blocks of 128 KiB primed with the
 *                        32 KiB before them); an IN that is gzip is decoded first
 *
 * Every byte is looked at, whether or not an earlier one differed, as a tool that reports all differences must.
 * Exit status: 0 equal, 1 different, 2 trouble.   Built with: cc -O2 -o floor floor.c -lz -pthread
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { BLOCK = 4 << 10, LINE = 128, CHUNK = 128 << 10, WINDOW = 32 << 10, THREADS = 2 };

typedef struct {
    const char *path;
    unsigned char *data;
    size_t size;
} side;

static void die(const char *what) {
    fprintf(stderr, "floor: %s: %s\n", what, errno ? strerror(errno) : "failed");
    exit(2);
}

static void *need(void *memory) {
    if (!memory) die("memory");
    return memory;
}

static void map(side *s) {
    struct stat st;
    int fd = open(s->path, O_RDONLY);
    if (fd < 0 || fstat(fd, &st) < 0) die(s->path);
    s->size = (size_t)st.st_size;
    s->data = (unsigned char *)"";
    if (s->size) {
        s->data = mmap(NULL, s->size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (s->data == MAP_FAILED) die(s->path);
    }
    close(fd);
}

static int is_gzip(const side *s) { return s->size >= 18 && s->data[0] == 0x1f && s->data[1] == 0x8b; }

/* Decode all members of a gzip file; the size field at its end is a hint, no more. */
static void *gunzip(void *argument) {
    side *s = argument;
    uint32_t hint = 0;
    z_stream z = {0};
    size_t room, used = 0, given = 0;
    unsigned char *out;
    memcpy(&hint, s->data + s->size - 4, 4);
    room = (size_t)hint + 64;
    if (room > s->size * 1032 + 64) room = s->size * 4 + 64;
    out = need(malloc(room));
    if (inflateInit2(&z, 15 + 16) != Z_OK) die("inflateInit2");
    for (;;) {
        int status;
        if (used == room) out = need(realloc(out, room *= 2));
        size_t in_now = s->size - given, out_now = room - used;
        if (in_now > 1u << 30) in_now = 1u << 30;
        if (out_now > 1u << 30) out_now = 1u << 30;
        z.next_in = s->data + given;
        z.avail_in = (uInt)in_now;
        z.next_out = out + used;
        z.avail_out = (uInt)out_now;
        status = inflate(&z, Z_NO_FLUSH);
        given += in_now - z.avail_in;
        used += out_now - z.avail_out;
        if (status == Z_STREAM_END) {
            if (s->size - given < 18 || s->data[given] != 0x1f || inflateReset(&z) != Z_OK) break;
        } else if (status != Z_OK && !(status == Z_BUF_ERROR && z.avail_out == 0)) {
            errno = 0;
            die(s->path);
        }
    }
    inflateEnd(&z);
    s->data = out;
    s->size = used;
    return NULL;
}

/* How many bytes differ where they stand: equal blocks at memcmp's speed, the others byte by byte (vectorized). */
static size_t differing(const unsigned char *a, size_t a_size, const unsigned char *b, size_t b_size) {
    size_t common = a_size < b_size ? a_size : b_size, at = 0, count = a_size + b_size - 2 * common;
    for (; common - at >= BLOCK; at += BLOCK)
        if (memcmp(a + at, b + at, BLOCK))
            for (size_t line = at; line < at + BLOCK; line += LINE) {
                unsigned char unequal = 0;
                for (size_t i = 0; i < LINE; i++) unequal += a[line + i] != b[line + i];
                count += unequal;
            }
    for (; at < common; at++) count += a[at] != b[at];
    return count;
}

static int compare_files(const char *left, const char *right) {
    side sides[2] = {{left, NULL, 0}, {right, NULL, 0}};
    map(&sides[0]);
    map(&sides[1]);
    if (is_gzip(&sides[0]) && is_gzip(&sides[1])) {
        pthread_t other;
        if (pthread_create(&other, NULL, gunzip, &sides[1])) die("pthread_create");
        gunzip(&sides[0]);
        pthread_join(other, NULL);
    }
    return differing(sides[0].data, sides[0].size, sides[1].data, sides[1].size) != 0;
}

typedef struct {
    const char *root;
    char **names; /* relative, every regular file below root */
    size_t count, room;
} listing;

static void walk(listing *l, const char *below) {
    char path[4096];
    struct dirent *entry;
    DIR *dir;
    snprintf(path, sizeof path, "%s/%s", l->root, below);
    if (!(dir = opendir(path))) die(path);
    while ((entry = readdir(dir))) {
        char *name;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (asprintf(&name, "%s%s%s", below, *below ? "/" : "", entry->d_name) < 0) die("asprintf");
        if (entry->d_type == DT_DIR) {
            walk(l, name);
        }
        if (entry->d_type != DT_REG) { /* a file system without d_type has no floor here */
            free(name);
            continue;
        }
        if (l->count == l->room) {
            l->room = l->room ? l->room * 2 : 1024;
            l->names = need(realloc(l->names, l->room * sizeof *l->names));
        }
        l->names[l->count++] = name;
    }
    closedir(dir);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void *list(void *argument) {
    listing *l = argument;
    walk(l, "");
    if (l->count) qsort(l->names, l->count, sizeof *l->names, by_name);
    return NULL;
}

typedef struct {
    const char *left, *right;
    char **names;
    size_t count, first, unequal;
} share;

typedef struct {
    unsigned char *data;
    size_t size, room;
} buffer;

static void slurp(buffer *b, const char *root, const char *name) {
    char path[4096];
    struct stat st;
    ssize_t got;
    int fd;
    snprintf(path, sizeof path, "%s/%s", root, name);
    fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &st) < 0) die(path);
    if (b->room < (size_t)st.st_size) b->data = need(realloc(b->data, b->room = (size_t)st.st_size));
    for (b->size = 0; b->size < (size_t)st.st_size; b->size += (size_t)got)
        if ((got = read(fd, b->data + b->size, (size_t)st.st_size - b->size)) <= 0) die(path);
    close(fd);
}

static void *compare_share(void *argument) {
    share *s = argument;
    buffer a = {0}, b = {0};
    for (size_t i = s->first; i < s->count; i += THREADS) {
        slurp(&a, s->left, s->names[i]);
        slurp(&b, s->right, s->names[i]);
        s->unequal += differing(a.data, a.size, b.data, b.size) != 0;
    }
    return NULL;
}

static int compare_trees(const char *left, const char *right) {
    listing l = {left, NULL, 0, 0}, r = {right, NULL, 0, 0};
    pthread_t threads[THREADS];
    share shares[THREADS];
    size_t common = 0, i = 0, j = 0, lonely, count = 0;
    if (pthread_create(&threads[0], NULL, list, &r)) die("pthread_create");
    list(&l);
    pthread_join(threads[0], NULL);
    lonely = l.count + r.count;
    while (i < l.count && j < r.count) {
        int order = strcmp(l.names[i], r.names[j]);
        if (!order) {
            l.names[common++] = l.names[i++];
            j++;
        } else if (order < 0) {
            i++;
        } else {
            j++;
        }
    }
    lonely -= 2 * common;
    for (size_t t = 0; t < THREADS; t++) {
        shares[t] = (share){left, right, l.names, common, t, 0};
        if (pthread_create(&threads[t], NULL, compare_share, &shares[t])) die("pthread_create");
    }
    for (size_t t = 0; t < THREADS; t++) {
        pthread_join(threads[t], NULL);
        count += shares[t].unequal;
    }
    return count + lonely != 0;
}

typedef struct {
    const side *source;
    buffer *blocks;
    size_t count, first;
} packing;

static void *pack(void *argument) {
    packing *p = argument;
    for (size_t i = p->first; i < p->count; i += THREADS) {
        size_t start = i * CHUNK, rest = p->source->size - start, length = rest < CHUNK ? rest : CHUNK;
        buffer *block = &p->blocks[i];
        z_stream z = {0};
        int last = i + 1 == p->count;
        if (deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK) die("deflateInit2");
        if (start) deflateSetDictionary(&z, p->source->data + start - WINDOW, WINDOW);
        block->room = deflateBound(&z, length) + 64;
        block->data = need(malloc(block->room));
        z.next_in = p->source->data + start;
        z.avail_in = (uInt)length;
        z.next_out = block->data;
        z.avail_out = (uInt)block->room;
        if (deflate(&z, last ? Z_FINISH : Z_SYNC_FLUSH) < 0 || z.avail_in) die("deflate");
        block->size = block->room - z.avail_out;
        deflateEnd(&z);
    }
    return NULL;
}

static void emit(FILE *to, const void *data, size_t size) {
    if (fwrite(data, 1, size, to) != size) die("output");
}

static int recompress(const char *path, const char *output) {
    static const unsigned char header[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255};
    side source = {path, NULL, 0};
    pthread_t threads[THREADS];
    packing shares[THREADS];
    buffer *blocks;
    size_t count;
    uint32_t trailer[2];
    FILE *to = fopen(output, "wb");
    if (!to) die(output);
    map(&source);
    if (is_gzip(&source)) gunzip(&source);
    count = source.size ? (source.size + CHUNK - 1) / CHUNK : 1;
    blocks = need(calloc(count, sizeof *blocks));
    for (size_t t = 0; t < THREADS; t++) {
        shares[t] = (packing){&source, blocks, count, t};
        if (pthread_create(&threads[t], NULL, pack, &shares[t])) die("pthread_create");
    }
    trailer[0] = (uint32_t)crc32_z(crc32(0, NULL, 0), source.data, source.size);
    trailer[1] = (uint32_t)source.size;
    for (size_t t = 0; t < THREADS; t++) pthread_join(threads[t], NULL);
    emit(to, header, sizeof header);
    for (size_t i = 0; i < count; i++) emit(to, blocks[i].data, blocks[i].size);
    emit(to, trailer, sizeof trailer); /* little-endian machines only, as is the size hint above */
    if (fclose(to)) die(output);
    return 0;
}

int main(int argc, char **argv) {
    struct stat st;
    if (argc == 4 && !strcmp(argv[1], "--gzip")) return recompress(argv[2], argv[3]);
    if (argc != 3) {
        fputs("usage: floor LEFT RIGHT | floor --gzip IN OUT\n", stderr);
        return 2;
    }
    if (stat(argv[1], &st) < 0) die(argv[1]);
    return S_ISDIR(st.st_mode) ? compare_trees(argv[1], argv[2]) : compare_files(argv[1], argv[2]);
}
