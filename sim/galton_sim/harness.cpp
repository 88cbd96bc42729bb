// Runs one Verilated core: loads its memories over the register bus, streams inputs, collects outputs and counters.
//
// Usage: core JOB [VCD]. JOB and the results on standard output are 32-bit little-endian words:
//
//   job      header (the fields of `Header`), then per memory: select, address, count, words; then inputs x input_words
//   results  per inference: INFERENCE, status, cycles low, cycles high, output words, layers x profile_words
//            at the end: END, total cycles low, high; or FAILURE, code, two details
//
// A cycle is one rising edge. Inputs change after an edge; everything sampled is what the next edge sees.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "Vcore.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

namespace {

constexpr uint32_t INFERENCE = 0x52464e49, END = 0x21444e45, FAILURE = 0x4c494146;
enum Code : uint32_t { BAD_JOB = 1, BUS_SILENT, WRONG_IDENTITY, WRONG_DIGEST, TIME_OUT };
constexpr int BUS_LIMIT = 1 << 20;

struct Header {
    uint32_t identity, digest, memories, inferences, input_words, output_words;
    uint32_t layers, profile_base, profile_words, limit_low, limit_high;
    uint32_t stall_in, stall_out, seed;  // stalls in 1/65536 per cycle
    uint32_t identity_register, digest_register, status_register, control_register;
    uint32_t position_register, data_register, address_bit, data_select;
};

void put(uint32_t word) { std::fwrite(&word, sizeof word, 1, stdout); }

void put64(uint64_t value) {
    put(static_cast<uint32_t>(value));
    put(static_cast<uint32_t>(value >> 32));
}

[[noreturn]] void fail(Code code, uint32_t first = 0, uint32_t second = 0) {
    for (uint32_t word : {FAILURE, static_cast<uint32_t>(code), first, second}) put(word);
    std::fflush(stdout);
    std::exit(3);
}

// xorshift64*: the same stalls from the same seed on every machine.
struct Random {
    uint64_t state;
    explicit Random(uint64_t seed) : state(seed * 0x9e3779b97f4a7c15ull + 0x1234567ull) {}
    bool happens(uint32_t probability) {
        if (probability == 0) return false;
        state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
        return ((state * 0x2545f4914f6cdd1dull) >> 48) < probability;
    }
};

class Core {
  public:
    explicit Core(const char* vcd) : context(new VerilatedContext), top(new Vcore(context.get())) {
#if VM_TRACE
        if (vcd) {
            context->traceEverOn(true);
            trace.reset(new VerilatedVcdC);
            top->trace(trace.get(), 99);
            trace->open(vcd);
        }
#else
        (void)vcd;
#endif
        top->rst = 1;
        for (int i = 0; i < 4; ++i) settle(), edge();
        top->rst = 0;
    }
    ~Core() {
#if VM_TRACE
        if (trace) trace->close();
#endif
        top->final();
    }

    uint64_t cycles = 0;
    Vcore& pins() { return *top; }

    // Let the clock fall and the outputs follow the inputs just set. Outputs are valid from here to the next edge.
    void settle() {
        top->clk = 0;
        top->eval();
        dump(0);
    }

    void edge() {
        top->clk = 1;
        top->eval();
        dump(1);
        ++cycles;
    }

    uint32_t access(uint32_t address, bool write, uint32_t data = 0) {
        top->bus___05Fvalid = 1;
        top->bus___05Fwrite = write;
        top->bus___05Faddress = address;
        top->bus___05Fwrite_data = data;
        settle();
        for (int waited = 0; !top->bus___05Fready; ++waited) {
            if (waited == BUS_LIMIT) fail(BUS_SILENT, address, write);
            edge();
            settle();
        }
        uint32_t result = top->bus___05Fread_data;
        edge();
        top->bus___05Fvalid = 0;
        return result;
    }
    void write(uint32_t address, uint32_t data) { access(address, true, data); }
    uint32_t read(uint32_t address) { return access(address, false); }

  private:
    void dump(int half) {
#if VM_TRACE
        if (trace) trace->dump(cycles * 2 + half);
#else
        (void)half;
#endif
    }

    std::unique_ptr<VerilatedContext> context;
    std::unique_ptr<Vcore> top;
#if VM_TRACE
    std::unique_ptr<VerilatedVcdC> trace;
#endif
};

std::vector<uint32_t> load(const char* path) {
    std::FILE* file = std::fopen(path, "rb");
    if (!file) fail(BAD_JOB);
    std::fseek(file, 0, SEEK_END);
    std::vector<uint32_t> words(std::ftell(file) / sizeof(uint32_t));
    std::rewind(file);
    if (std::fread(words.data(), sizeof(uint32_t), words.size(), file) != words.size()) fail(BAD_JOB, 1);
    std::fclose(file);
    return words;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) fail(BAD_JOB, 2);
    const std::vector<uint32_t> job = load(argv[1]);
    if (job.size() * sizeof(uint32_t) < sizeof(Header)) fail(BAD_JOB, 3);
    const Header& h = *reinterpret_cast<const Header*>(job.data());
    const uint64_t limit = h.limit_low | static_cast<uint64_t>(h.limit_high) << 32;
    size_t place = sizeof(Header) / sizeof(uint32_t);

    Core core(argc > 2 ? argv[2] : nullptr);
    Vcore& pins = core.pins();
    Random random(h.seed);

    const uint32_t identity = core.read(h.identity_register), digest = core.read(h.digest_register);
    if (identity != h.identity) fail(WRONG_IDENTITY, identity, h.identity);
    if (digest != h.digest) fail(WRONG_DIGEST, digest, h.digest);
    core.write(h.control_register, 0);
    for (uint32_t memory = 0; memory < h.memories; ++memory) {
        if (place + 3 > job.size()) fail(BAD_JOB, 4);
        const uint32_t count = job[place + 2];
        core.write(h.position_register, job[place] | job[place + 1] << h.address_bit);
        place += 3;
        if (place + count > job.size()) fail(BAD_JOB, 5);
        for (uint32_t index = 0; index < count; ++index) core.write(h.data_register, job[place + index]);
        place += count;
    }
    if (place + static_cast<size_t>(h.inferences) * h.input_words != job.size()) fail(BAD_JOB, 6);

    std::vector<uint32_t> outputs(h.output_words);
    for (uint32_t inference = 0; inference < h.inferences; ++inference) {
        core.write(h.control_register, 1);
        const uint32_t* input = &job[place + static_cast<size_t>(inference) * h.input_words];
        const uint64_t start = core.cycles;
        uint32_t sent = 0, received = 0;
        while (received < h.output_words) {
            if (core.cycles - start >= limit) fail(TIME_OUT, inference, sent < h.input_words ? 0 : 1 + received);
            // An offer stands until it is taken; a pause is decided only where none stands.
            if (!pins.i___05Fvalid && sent < h.input_words && !random.happens(h.stall_in)) {
                pins.i___05Fvalid = 1;
                pins.i___05Fpayload = input[sent];
            }
            pins.o___05Fready = !random.happens(h.stall_out);
            core.settle();
            const bool taken = pins.i___05Fvalid && pins.i___05Fready;
            const bool given = pins.o___05Fvalid && pins.o___05Fready;
            if (given) outputs[received] = pins.o___05Fpayload;
            core.edge();
            if (given) ++received;
            if (taken) {
                ++sent;
                pins.i___05Fvalid = 0;
            }
        }
        const uint64_t spent = core.cycles - start;
        pins.o___05Fready = 0;
        put(INFERENCE);
        put(core.read(h.status_register));
        put64(spent);
        for (uint32_t word : outputs) put(word);
        if (h.profile_base) {
            core.write(h.control_register, 0);
            for (uint32_t word = 0; word < h.layers * h.profile_words; ++word) {
                core.write(h.position_register, h.data_select | (h.profile_base + word) << h.address_bit);
                put(core.read(h.data_register));
            }
        }
        std::fflush(stdout);
    }
    put(END);
    put64(core.cycles);
    std::fflush(stdout);
    return 0;
}
