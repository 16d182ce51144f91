"""What every builtin takes and gives, in the notation of `kinds`; one name may have several rows.

Owns the table alone. Other names of the same function are found by the function, so that each stands here once.
"""

from __future__ import annotations

from typing import Final

ROWS: Final = r"""
+ N N -> N | N num N -> float | N -> N
- N N -> N | N -> N | int int int -> int
* N N -> N | small N -> N
/ N N -> num | float float -> float
mod N N -> N
quot N N -> N | float int -> num
inc N -> N
dec N -> N
max N N -> N | num num num -> num
min N N -> N | num num num -> num
abs N -> N
sqrt num -> float
pow small small -> int | float small -> float | int int -> num
factorial small -> int
even? int -> bool | num -> bool
odd? int -> bool
zero? num -> bool
pos? num -> bool
neg? num -> bool
nat-int? any -> bool
nan? num -> bool
infinite? num -> bool
floor num -> int
ceil num -> int
trunc num -> int
round num -> int | num small -> float
sign num -> int
clamp N N N -> N
sum <N> -> N | <num> -> num
avg <num> -> float
bit-and int int -> int
bit-or int int -> int | int int int -> int
bit-xor int int -> int
bit-not int -> int
bit-shift-left int bits -> int
bit-shift-right int bits -> int
bit-test int bits -> bool
parse-int digits -> int | digits base -> int | str -> int
parse-float digits -> float
int any -> int | digits -> int
float any -> float | digits -> float
parse-bool truth -> bool
boolean any -> bool
range small -> [int] | small small -> [int] | small small step -> [int]
numbers small small -> [int]
= any any -> bool | A A -> bool | A A A -> bool
not= A A -> bool
< num num -> bool | str str -> bool
<= int int -> bool
> num num -> bool | str str -> bool
>= int int -> bool
not any -> bool
and bool bool -> bool
or A A -> A
type-name any -> str
nil? any -> bool
bool? any -> bool
int? any -> bool
float? any -> bool
number? any -> bool
string? any -> bool
keyword? any -> bool
symbol? any -> bool
vector? any -> bool
list? any -> bool
map? any -> bool
fn? any -> bool
ifn? any -> bool
true? any -> bool
false? any -> bool
coll? any -> bool
sequential? any -> bool
associative? any -> bool
seqable? any -> bool
ident? any -> bool
error? any -> bool
str any -> str | any any -> str | str num any -> str
join str <any> -> str
string-length str -> int
substring str index -> str | str index index -> str
split str str -> [str] | csv separator -> [str] | csv separator small -> [str]
split-lines lines -> [str]
replace str str str -> str
string-repeat str small -> str
pad-left str width -> str | str width char -> str
pad-right str width char -> str
char codepoint -> str
char-code char -> int
string-contains str str -> bool
starts-with? str str -> bool
ends-with? str str -> bool
index-of str str -> int | str char index -> int | <A> A -> int
last-index-of str char -> int
blank? str -> bool
string-upper str -> str
string-lower str -> str
capitalize str -> str
string-trim str -> str
triml str -> str
trimr str -> str
re-matches pattern str -> bool
re-find pattern csv -> str
re-seq pattern csv -> [str]
re-groups pattern csv -> [str]
re-split pattern csv -> [str] | pattern csv small -> [str]
re-replace pattern csv replacement -> str | pattern csv fn(any)str -> str
format intformat int -> str | anyformat any -> str | floatformat num -> str | anyformat any any -> str
name kw -> str | sym -> str
namespace kw -> str
keyword word -> kw | sym -> kw
symbol word -> sym | kw -> sym
vector A A -> [A] | -> [any]
list A A A -> (A)
vec <A> -> [A] | str -> [str] | {K A} -> [[any]]
seq <A> -> [A] | {K A} -> [[any]]
count <any> -> int | {K A} -> int | str -> int
length str -> int
empty? <any> -> bool | str -> bool
not-empty [A] -> [A] | {K A} -> {K A}
empty [A] -> [A] | {K A} -> {K A}
first <A> -> A | str -> str
second <A> -> A
ffirst <<A>> -> A
last <A> -> A
rest [A] -> [A] | (A) -> (A) | str -> str
next [A] -> [A]
nthrest [A] index -> [A]
nth <A> index -> A | <A> index A -> A
peek <A> -> A
pop [A] -> [A] | (A) -> (A)
conj [A] A -> [A] | [A] A A -> [A] | (A) A -> (A)
cons A [A] -> [A]
concat <A> <A> -> [A] | [A] (A) [A] -> [A]
reverse [A] -> [A] | str -> str
take small [A] -> [A] | small str -> str
drop small [A] -> [A] | small str -> str
take-last small [A] -> [A]
drop-last [A] -> [A] | small [A] -> [A]
butlast [A] -> [A]
take-while fn(A)bool <A> -> [A]
drop-while fn(A)bool <A> -> [A]
take-nth step [A] -> [A]
subvec [A] index -> [A] | [A] index index -> [A]
split-at small [A] -> [[A]]
split-with fn(A)bool [A] -> [[A]]
partition step <A> -> [[A]] | step step <A> -> [[A]]
partition-by fn(A)any <A> -> [[A]]
interleave <A> <A> -> [A]
interpose A <A> -> [A]
flatten <<A>> -> [A]
repeat small A -> [A]
cycle small <A> -> [A]
sort <int> -> [int] | <any> -> [any] | <str> -> [str] | fn(N N)bool <N> -> [N] | fn(A A)bool <A> -> [A]
sort-by fn(A)int <A> -> [A] | fn(A)any <A> -> [A] | fn(A)int fn(int int)bool <A> -> [A]
compare A A -> int | any any -> int
max-key fn(A)int A A -> A
min-key fn(A)num A A A -> A
distinct [A] -> [A] | str -> str
distinct? A A -> bool | A A A -> bool
dedupe [A] -> [A]
frequencies <K> -> {K int} | <any> -> {str int}
group-by fn(A)K <A> -> {K [A]} | fn(A)bool <A> -> {str [A]}
get {K A} K -> A | {K A} K A -> A | <A> index -> A | <A> index A -> A
get-in {K {kw A}} path -> A | [[A]] indexes A -> A
find {K A} K -> [any]
contains? {K A} K -> bool | <A> A -> bool | str str -> bool
assoc {K A} K A -> {K A} | {K A} K A K A -> {K A} | [A] index A -> [A]
dissoc {K A} K -> {K A} | {K A} K K -> {K A}
update {K A} K fn(A)A -> {K A} | {K int} K fn(int int)int int -> {K int} | [A] index fn(A)A -> [A]
assoc-in {kw {kw A}} path A -> {kw {kw A}}
update-in {kw {kw A}} path fn(A)A -> {kw {kw A}} | [[A]] indexes fn(A)A -> [[A]]
dissoc-in {kw {kw A}} path -> {kw {kw A}}
hash-map K A -> {K A} | K A K A K A -> {K A}
merge {K A} {K A} -> {K A} | {K A} {K A} {K A} -> {K A}
merge-with fn(A A)A {K A} {K A} -> {K A}
keys {K A} -> [K]
vals {K A} -> [A]
key entry -> kw
val entry -> int
select-keys {K A} <K> -> {K A}
rename-keys {kw A} {kw kw} -> {kw A}
zipmap <K> <A> -> {K A}
into [A] <A> -> [A] | {kw int} [entry] -> {kw int} | {K A} {K A} -> {K A} | [any] {K A} -> [any]
reduce-kv fn(B K A)B B {K A} -> B
update-vals {K A} fn(A)B -> {K B}
update-keys {kw A} fn(kw)K -> {K A}
map-invert {K str} -> {str K} | {K int} -> {int K}
map fn(A)B <A> -> [B] | fn(A B)C <A> <B> -> [C]
map-indexed fn(int A)B <A> -> [B] | fn(int str)str str -> str
mapcat fn(A)[B] <A> -> [B]
filter fn(A)bool <A> -> [A] | fn(A)any <A> -> [A]
remove fn(A)bool <A> -> [A]
keep fn(A)B <A> -> [B]
keep-indexed fn(int A)B <A> -> [B]
reduce fn(B A)B B <A> -> B | fn(A A)A <A> -> A
reductions fn(B A)B B <A> -> [B] | fn(A A)A <A> -> [A]
every? fn(A)bool <A> -> bool
not-every? fn(A)bool <A> -> bool
some? fn(A)bool <A> -> bool | any -> bool
not-any? fn(A)bool <A> -> bool
some fn(A)B <A> -> B
run! fn(A)any <A> -> nil
repeatedly small fn()A -> [A]
iterate small fn(A)A A -> [A]
apply fn(int int)B two -> B | fn(A A)A A <A> -> A | addition <N> -> N | text <any> -> str
identity A -> A
comp fn(B)C fn(A)B -> fn(A)C | fn(A)A -> fn(A)A
partial fn(A B)C A -> fn(B)C | fn(A B)C A B -> fn()C
complement fn(A)bool -> fn(A)bool
constantly B -> fn(A)B | B -> fn(A C)B
juxt fn(A)B fn(A)B -> fn(A)[B]
fnil fn(A)B A -> fn(A)B
every-pred fn(A)bool fn(A)bool -> fn(A)bool
some-fn fn(A)B fn(A)B -> fn(A)B
parse-json json -> any | json jsonoptions -> any
parse-json-keywords json -> any
serialize-json any -> str | {K A} -> str
serialize-json-pretty {str A} -> str
Exception. str -> err | str any -> err
ex-info str any -> err | str {kw A} -> err
getMessage err -> str
error-kind err -> str
error-data err -> any
process-data A -> A
read-file str -> str
gensym -> sym | word -> sym
"""
"""Each line is a name and calls of it: the kinds of the arguments, and that of the value."""
