/* Reads and writes a file through a shared mapping, since only unsafe code can. Each line on standard
 * input is a request: what to do, where, how much, a byte to begin with, and the file to the line's end.
 *   r OFFSET LENGTH 0 FILE      answers with the bytes
 *   w OFFSET LENGTH BYTE FILE   writes BYTE, BYTE + 1, ... and answers with a dot
 *   s OFFSET LENGTH BYTE FILE   the same, with msync
 * The file is as long as the range. Whatever fails ends the process with a line that says what. */
#define _FILE_OFFSET_BITS 64
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void check(int right, const char *what) {
    if (!right) {
        perror(what);
        exit(1);
    }
}

int main(void) {
    char line[8192], what, path[4096];
    long long offset, length;
    int first, scanned;
    while (fgets(line, sizeof line, stdin)) {
        scanned = sscanf(line, "%c %lld %lld %d %4095[^\n]", &what, &offset, &length, &first, path);
        check(scanned == 5, "a request");
        long long page = sysconf(_SC_PAGESIZE), start = offset / page * page, inside = offset - start;
        int file = open(path, O_RDWR);
        check(file >= 0, "open");
        unsigned char *map = mmap(NULL, inside + length, PROT_READ | PROT_WRITE, MAP_SHARED, file, start);
        check(map != MAP_FAILED, "mmap");
        if (what == 'r') {
            check(fwrite(map + inside, 1, length, stdout) == (size_t)length, "write");
        } else {
            for (long long at = 0; at < length; at++) {
                map[inside + at] = (unsigned char)(first + at);
            }
            check(what != 's' || msync(map, inside + length, MS_SYNC) == 0, "msync");
            check(putchar('.') == '.', "write");
        }
        check(munmap(map, inside + length) == 0, "munmap");
        check(close(file) == 0, "close");
        check(fflush(stdout) == 0, "write");
    }
    return 0;
}
