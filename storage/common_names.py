"""Common names of the people whose languages we read, without case and accents.

They are only asked for where a name is due: after a greeting, a farewell, "my name is".
"""

from __future__ import annotations

_GIVEN = """
abel abigail abraham ademar ademir adilson adolfo adrian adriana adriano agatha agnes agostinho
agustin ailton alan alana alba albert alberto aldo alejandra alejandro alessandra alessandro alex
alexander alexandra alexandre alexandro alexia alexis alfonso alfredo alice alicia alina aline
alison alvaro amalia amanda amaury amelia amy ana anabel analia anderson andre andrea andreas
andreia andres andressa andrew angel angela angelica angelina angelo anita anna anne anselmo
antonella antonia antonio aparecida ariana ariel arlete armando arnaldo arthur artur ashley augusta
augusto aurelio axel ayrton barbara beatriz belen belinda benedita benedito benicio benjamin bento
bernardo beto bianca brayan brenda breno brian bruna bruno bryan caio camila camilo carina carla
carlos carlota carmelo carmen carol carolina caroline cassandra cassia cassio catalina catarina
catherine caua cecilia celeste celia celina celio celso cesar charles christian christina christine
christopher cibele cicera cicero clara clarice clarissa claudemir claudia claudinei claudineia
claudio cleber cleide cleiton cleonice cleusa clovis constanza cristian cristiana cristiane
cristiano cristina cristobal daiana daiane dalila dalva damian daniel daniela daniele danielle
danilo dario davi david debora deborah deise denis denise dennis diana diego dilma dilson dina
diogo dirce dolores domingos dorothy douglas eder edgar edilson edinaldo edite edith edmar edmilson
edna edson eduarda eduardo edward elaine elena eleonora eliana eliane elias eliete elisa elisabete
elisangela elizabeth eloa eloisa elsa elton elvira elza emanuel emanuela emerson emilia emiliano
emilio emily emma enrique enzo eric erica erick erik erika ernesto esteban estefania estela ester
esther eugenia eugenio eunice eva evandro evelyn everton ezequiel fabian fabiana fabiano fabio
fabiola fabricio fatima federico felicia felipe felix fernanda fernando filipe flavia flavio
francine francis francisca francisco franco frank frederico gabriel gabriela gabriele gabrielle
gael genesis geovana geovanna geraldo gerard gerardo gerson gilberto gilda gilmar gilson giovana
giovanna giovanni gisela gisele giselle gladys gonzalo graciela gregorio greice guadalupe guilherme
guillermo gustavo hector heitor helen helena helio heloisa helton henrique henry heraldo hernan
hugo iago ian iara ignacio igor ilda ines ingrid iolanda iracema irene iris isaac isabel isabela
isabella isabelle isadora isaias ismael israel italo ivan ivana ivete ivo ivone ivonete jacira jack
jackson jacqueline jaime jair jairo james jamile jan janaina jandira jane janete janice jaqueline
javier jean jeferson jefferson jennifer jeremias jessica jesus jhonatan joana joanna joao joaquim
joaquin joel joelma john johnny jonas jonatan jonatas jonathan jordan jorge jose josefa josefina
joseph josiane josue joyce juan juana juarez judite julia juliana juliane juliano julieta julio
junior jussara kaique kamila karen karin karina karine karla karol karolina kate katherine kathleen
katia kauan kaue kelly kelvin kenneth kevin klaus laercio laila lara larissa laura lauren lauro
lavinia lazaro leandra leandro leia leila leo leonardo leonel leonor leonora leticia levi lia lidia
lilian liliana lina linda lindsay lisa livia lorena lorenzo lourdes luan luana luca lucas lucia
luciana luciano luciene lucila lucio lucrecia lucy luigi luis luisa luiz luiza luzia luzinete
madalena magali magda maiara maicon maira manoel manuel manuela mara marcel marcela marcelo marcia
marciano marcio marco marcos marcus margaret margarida margarita maria mariana mariane marianna
mariano maribel marilda marilena marilene marilia marina marinalva mario marisa marisol maristela
mariza marlene marlon marta martha martin martina mary mateo mateus matheus matias matilde matthew
maura mauricio mauro maxwell mayara megan melanie melina melissa mercedes micaela michael michel
michele michelle miguel mikaela milagros milena milton miriam mirian moacir moises monica monique
murilo nadia nadir nair nancy natacha natalia natan natanael nathalia nathan neide nelson neusa
nicolas nicole nicoly nilson nilton nilza noah noelia noemi noemia norberto norma nuno octavio
odair odete olga oliver olivia omar orlando oscar osmar osvaldo oswaldo otavio otto pablo paloma
pamela paola patricia patrick paul paula paulina paulo pedro peter pietra pietro priscila quiteria
rafael rafaela raimunda raimundo ramiro ramon raphael raphaela raquel raul rayane rebeca rebecca
regiane regina reginaldo reinaldo renan renata renato rene ricardo richard rita robert roberta
roberto robson rocio rodolfo rodrigo rogelio roger rogerio romario romulo ronaldo roni rosa rosalia
rosana rosane rosangela rosario roseli rosemary rosilene rosimeire rosita rozana rubem ruben rubens
rui ruth ryan sabrina salvador samanta samantha samara samuel sandra sandro santiago sara sarah
saulo sebastian sebastiana sebastiao selma sergio severina severino sharon sheila sidnei sidney
silas silmara silvana silvia silvio simon simone sofia solange sonia sophia sophie soraia stefani
stefany stella stephanie steven suelen sueli susan susana suzana taina tainara tais talita tamara
tamires tania tarcisio tatiana tatiane telma teresa teresinha tereza terezinha thais thaisa thales
thalita thayna theo thiago thomas tiago tomas ubirajara ulisses uriel valdemar valdir valdirene
valentin valentina valeria valmir valter vanda vanderlei vanessa vania vera veronica vicente victor
victoria vilma vincent vinicius violeta virginia vitor vitoria vivian viviane wagner waldemar
wallace walter wanda wanderson washington wellington wendel wesley wilhelm william willian wilma
wilson xavier ximena yago yara yasmim yasmin yolanda yuri zelia zilda zuleica
"""
GIVEN = frozenset(_GIVEN.split())
"""Given names."""

_FAMILY = """
abreu acosta aguiar aguilar aguirre albuquerque alencar almeida alonso alvarez alves amaral amorim
andrade antunes aragao araujo arruda assis azevedo baptista barbosa barreto barros bastos batista
benitez bezerra borges botelho braga brito bueno cabral caldas camacho camargo campos cardoso
carneiro carvalho castillo castro cavalcante cavalcanti chaves coelho contreras cordeiro correa
correia costa coutinho cruz cunha dias diaz diniz domingues dominguez duarte dutra espinoza esteves
faria farias fernandes fernandez ferraz ferreira figueiredo flores fonseca fontes fraga franca
freire freitas furtado galvao garcia gimenez godoy gomes gomez goncalves gonzalez gouveia guedes
guerra guerrero guimaraes gutierrez henriques hernandez herrera jimenez lacerda leal leite lemos
lima linhares lopes lopez lucena macedo machado maciel magalhaes maia marinho marques marquez
martinez martins matos medeiros medina meireles mello melo mendes mendez mendoca mendonca menezes
mesquita miranda molina monteiro montenegro moraes morais morales moreira moreno mota moura munhoz
muniz munoz nascimento neto neves nobrega nogueira novaes nunes nunez oliveira ortega ortiz pacheco
padilha paiva peixoto pena pereira perez pinheiro pinto pires ponce portela porto prado queiroz
quintana ramirez ramos rangel rebelo rego reis resende reyes rezende ribeiro rios rivera rocha
rodrigues rodriguez rojas romero ruiz salazar sales salgado sampaio sanchez sandoval santana santos
saraiva serrano silva silveira simoes siqueira soares sobrinho soto sousa souto souza suarez
tavares teixeira teles toledo torres trindade valadares valdez vargas vasconcelos vasquez vaz vega
velasco ventura vera viana vidal vieira vilela villalba xavier zanetti
"""
FAMILY = frozenset(_FAMILY.split())
"""Family names, which may follow a given one."""
